import type { Clock } from '../contract/plugin.ts'

interface Timer {
  readonly dueMs: number
  readonly callback: () => void
}

/** A clock that stands still until it is told to move. Replaces every timer of the gateway, so that no test sleeps. */
export class FakeClock implements Clock {
  #nowMs: number
  #elapsedMs = 0
  readonly #timers = new Set<Timer>()

  /** @param nowMs wall-clock time at the start, milliseconds since 1970 */
  constructor(nowMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = nowMs
  }

  now(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#elapsedMs + Math.max(0, delayMs), callback }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Timers that have not run: none may be left when everything has stopped. */
  get pending(): number {
    return this.#timers.size
  }

  /**
   * Moves time on, running the timers that become due in their order. Between two of them everything that waits gets its
   * turn, sockets included, so that what one timer starts can still be overtaken by the next.
   */
  async advance(milliseconds: number): Promise<void> {
    const untilMs = this.#elapsedMs + milliseconds
    for (;;) {
      await turn()
      const [next] = [...this.#timers].filter(({ dueMs }) => dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs)
      if (!next) break
      this.#timers.delete(next)
      this.#move(next.dueMs)
      next.callback()
    }
    this.#move(untilMs)
    await turn()
  }

  #move(toMs: number): void {
    this.#nowMs += toMs - this.#elapsedMs
    this.#elapsedMs = toMs
  }
}

/** Lets pending promises and input go first. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
