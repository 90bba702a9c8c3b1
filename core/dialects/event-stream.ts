import { createParser } from 'eventsource-parser'
import type { ServerSentEvent } from '../contract/provider.ts'

/** A record without an end is an attack or a defect; 16 MiB is far above any image a model returns in one event. */
const recordLimit = 16 * 1024 * 1024

/**
 * Splits bytes into the records of an event stream. Takes bytes as they come: cut inside a line, inside a character,
 * several records at once, CRLF, comments. A last record without its empty line still counts, once {@link end} is called.
 */
export class EventSplitter {
  readonly #decoder = new TextDecoder()
  #records: ServerSentEvent[] = []
  #sinceRecord = 0
  readonly #parser = createParser({
    onEvent: ({ event, data }) => {
      this.#sinceRecord = 0
      this.#records.push(event === undefined ? { data } : { event, data })
    },
    // Keep-alives may go on for hours between two records.
    onComment: () => {
      this.#sinceRecord = 0
    },
  })

  /**
   * The records that these bytes complete.
   *
   * @throws RangeError when a record exceeds 16 MiB
   */
  push(bytes: Uint8Array): readonly ServerSentEvent[] {
    return this.#feed(this.#decoder.decode(bytes, { stream: true }))
  }

  /** The records left over when the body has ended. */
  end(): readonly ServerSentEvent[] {
    return this.#feed(`${this.#decoder.decode()}\n\n`)
  }

  #feed(text: string): readonly ServerSentEvent[] {
    this.#records = []
    this.#sinceRecord += text.length
    this.#parser.feed(text)
    if (this.#records.length > 0) this.#sinceRecord = 0
    if (this.#sinceRecord > recordLimit) throw new RangeError('record of an event stream over 16 MiB')
    return this.#records
  }
}

/** One record in its wire form. `data` must have no line break: JSON text has none. */
export function record(data: string, event?: string): string {
  return event === undefined ? `data: ${data}\n\n` : `event: ${event}\ndata: ${data}\n\n`
}
