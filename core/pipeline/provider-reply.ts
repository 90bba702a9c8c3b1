import type { StreamEvent } from '../contract/canonical.ts'
import type { Reply } from '../contract/plugin.ts'
import type { UpstreamRecord } from '../dialects/dialect.ts'

/** A whole JSON answer of an upstream, kept in its own bytes beside what its provider read from it. */
export interface WholeAnswer {
  readonly bytes: Buffer
  readonly value: unknown
}

/**
 * A provider's answer as the kernel's own call returns it. To plugins it is a {@link Reply} like any other; the kernel
 * recognises it and, where no hook wants the events, hands the upstream's records through as they are.
 */
export class ProviderReply implements Reply {
  readonly status = 200
  readonly headers: Readonly<Record<string, string>> = {}
  /** The wire format of the answer; undefined for transports without one. */
  readonly dialect: string | undefined
  /** Set if the upstream answered with one JSON body. */
  readonly whole: WholeAnswer | undefined
  readonly #batches: AsyncIterable<readonly UpstreamRecord[]>

  constructor(init: {
    readonly dialect: string | undefined
    readonly whole?: WholeAnswer
    readonly batches: AsyncIterable<readonly UpstreamRecord[]>
  }) {
    this.dialect = init.dialect
    this.whole = init.whole
    this.#batches = init.batches
  }

  /** The records that came in one piece from the socket, together: they leave together too. To be consumed once. */
  get batches(): AsyncIterable<readonly UpstreamRecord[]> {
    return this.#batches
  }

  get events(): AsyncIterable<StreamEvent> {
    const batches = this.#batches
    return (async function* () {
      for await (const batch of batches) for (const { events } of batch) yield* events
    })()
  }
}
