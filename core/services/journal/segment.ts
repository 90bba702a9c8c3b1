import type { JournalEntry, JsonObject } from '../../contract/plugin.ts'
import type { Slot } from './slots.ts'

/** A record that is not released, and where it lies. */
export class StoredEntry implements JournalEntry {
  /** The text alone is kept, which costs the garbage collector less than the record would. */
  readonly json: string
  readonly channel: string
  readonly sequence: number
  /** Length of its line, about in bytes: characters beyond ASCII count as one where the line was not read from a file. */
  readonly size: number
  released = false
  // Private, so that an entry that is logged shows its record and not the whole journal.
  #segment: Segment | undefined

  constructor(json: string, channel: string, sequence: number, size: number) {
    this.json = json
    this.channel = channel
    this.sequence = sequence
    this.size = size
  }

  get record(): JsonObject {
    return JSON.parse(this.json) as JsonObject
  }

  /** Undefined while it is not written. */
  get segment(): Segment | undefined {
    return this.#segment
  }

  set segment(segment: Segment) {
    this.#segment = segment
  }
}

/** One file of the journal, and what in it is still needed. */
export class Segment {
  readonly path: string
  readonly slot: Slot
  /** Records that are not released, also of channels that nobody has opened. */
  readonly entries = new Set<StoredEntry>()
  /** How many records were written to it. */
  records = 0
  /** Length of the file. */
  bytes = 0
  /** What of it the entries take up, about. */
  liveBytes = 0
  /** It holds sound records behind damage, which nobody can have dealt with: the file is kept for a person to look at. */
  unreadable = false

  constructor(path: string, slot: Slot) {
    this.path = path
    this.slot = slot
  }

  get needed(): boolean {
    return this.entries.size > 0
  }

  /** Takes an entry in; it leaves the segment it was in before. */
  add(entry: StoredEntry): void {
    entry.segment?.remove(entry)
    entry.segment = this
    this.entries.add(entry)
    this.liveBytes += entry.size
  }

  remove(entry: StoredEntry): void {
    if (this.entries.delete(entry)) this.liveBytes -= entry.size
  }
}
