import { escapeIdentifier } from 'pg'
import type { Logger } from '../../contract/plugin.ts'

/** One caller of `listen`. */
interface Subscriber {
  readonly callback: (payload: string) => void
  readonly missed: (() => void) | undefined
}

/** PostgreSQL cuts longer identifiers silently in LISTEN, but not in `pg_notify`, so they would never meet. */
const channelLimitBytes = 63

/** Throws for a channel name that PostgreSQL would refuse or cut. */
export function checkChannel(channel: string): void {
  if (channel === '' || Buffer.byteLength(channel) > channelLimitBytes || channel.includes('\0')) {
    throw new Error(`a channel name has 1 to ${channelLimitBytes} bytes, not ${JSON.stringify(channel)}`)
  }
}

/**
 * Who listens to which channel of one session, and the LISTEN and UNLISTEN that follow from it. The session is told
 * by `attach` and `detach`; while there is none, subscriptions wait for the next one.
 */
export class Channels {
  readonly #logger: Logger
  readonly #subscribers = new Map<string, Set<Subscriber>>()
  readonly #active = new Set<string>()
  #run: ((sql: string) => Promise<unknown>) | undefined
  #attachedBefore = false
  #queue: Promise<void> = Promise.resolve()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Resolves when the session listens; the returned function stops this subscriber only. */
  async subscribe(
    channel: string,
    callback: (payload: string) => void,
    missed: (() => void) | undefined,
  ): Promise<() => Promise<void>> {
    const subscriber: Subscriber = { callback, missed }
    const subscribers = this.#subscribers.get(channel) ?? new Set()
    this.#subscribers.set(channel, subscribers.add(subscriber))
    const unsubscribe = async (): Promise<void> => {
      if (!subscribers.delete(subscriber)) return
      if (subscribers.size === 0 && this.#subscribers.get(channel) === subscribers) this.#subscribers.delete(channel)
      await this.#reconcile(channel)
    }
    try {
      await this.#reconcile(channel)
    } catch (error) {
      await unsubscribe().catch(() => undefined)
      throw error
    }
    return unsubscribe
  }

  /** Passes a notification on. A callback that throws stops nobody else. */
  deliver(channel: string, payload: string): void {
    for (const { callback } of this.#subscribers.get(channel) ?? []) this.#call(channel, () => callback(payload))
  }

  /**
   * A session is there: listens to everything again, and tells subscribers if an earlier session was lost.
   * @param first runs statements before this resolves
   * @param later runs statements from then on; the same if absent
   */
  async attach(
    first: (sql: string) => Promise<unknown>,
    later: (sql: string) => Promise<unknown> = first,
  ): Promise<void> {
    this.#run = later
    this.#active.clear()
    const again = this.#attachedBefore
    this.#attachedBefore = true
    // Not through the queue: a statement in it may be waiting for this very session.
    for (const channel of this.#subscribers.keys()) {
      await first(`listen ${escapeIdentifier(channel)}`)
      this.#active.add(channel)
    }
    if (!again) return
    for (const [channel, subscribers] of this.#subscribers) {
      for (const { missed } of subscribers) if (missed !== undefined) this.#call(channel, missed)
    }
  }

  /** The session is gone. */
  detach(): void {
    this.#run = undefined
    this.#active.clear()
  }

  /** Makes the session listen or not, as the subscribers of this moment want it; one statement at a time. */
  #reconcile(channel: string): Promise<void> {
    const change = async (): Promise<void> => {
      const run = this.#run
      const wanted = this.#subscribers.has(channel)
      if (run === undefined || wanted === this.#active.has(channel)) return
      await run(`${wanted ? 'listen' : 'unlisten'} ${escapeIdentifier(channel)}`)
      if (wanted) this.#active.add(channel)
      else this.#active.delete(channel)
    }
    const result = this.#queue.then(change)
    this.#queue = result.catch(() => undefined)
    return result
  }

  #call(channel: string, callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.#logger.error({ channel, error }, 'a callback of a database notification failed')
    }
  }
}
