import type { Clock } from '@hadrian/core/plugin'

/** What a pool allows. */
export interface PoolSettings {
  /** Calls at the same time. */
  readonly concurrent: number
  /** Calls that may wait for a slot. */
  readonly queue: number
  readonly queueTimeoutMs: number
}

/** Why a call got no slot. */
export type QueueRefusal = 'full' | 'timeout'

/** Slots for calls at the same time, and the calls that wait for one, first come, first served. */
export class Pool {
  readonly key: string
  settings: PoolSettings
  #inUse = 0
  readonly #waiting = new Set<() => void>()

  constructor(key: string, settings: PoolSettings) {
    this.key = key
    this.settings = settings
  }

  get inUse(): number {
    return this.#inUse
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Puts other settings in force. Slots in use stay so, beyond a lower limit too. */
  configure(settings: PoolSettings): void {
    this.settings = settings
    this.#serve()
  }

  /** Takes a slot if one is free. Nobody waits then: whoever does is served as soon as one is. */
  take(): boolean {
    if (this.#inUse >= this.settings.concurrent) return false
    this.#inUse++
    return true
  }

  /**
   * Takes a slot, waiting for it. Resolves with why there is none, or with undefined when it is taken.
   *
   * @param ended resolves when the call has ended otherwise: it then needs no slot
   * @throws the reason of `signal`
   */
  wait(clock: Clock, signal: AbortSignal, ended: Promise<unknown>): Promise<QueueRefusal | undefined> {
    if (this.take()) return Promise.resolve(undefined)
    if (this.#waiting.size >= this.settings.queue) return Promise.resolve('full')
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error)
        return
      }
      let isOver = false
      const leave = (): boolean => {
        if (isOver) return false
        isOver = true
        this.#waiting.delete(serve)
        signal.removeEventListener('abort', onAbort)
        cancelTimer()
        return true
      }
      const serve = (): void => {
        leave()
        this.#inUse++
        resolve(undefined)
      }
      const giveUp = (): void => {
        if (leave()) resolve('timeout')
      }
      const onAbort = (): void => {
        if (leave()) reject(signal.reason as Error)
      }
      this.#waiting.add(serve)
      signal.addEventListener('abort', onAbort)
      const cancelTimer = clock.after(this.settings.queueTimeoutMs, giveUp)
      void ended.then(giveUp)
    })
  }

  release(): void {
    this.#inUse--
    this.#serve()
  }

  #serve(): void {
    for (const serve of this.#waiting) {
      if (this.#inUse >= this.settings.concurrent) return
      serve()
    }
  }
}
