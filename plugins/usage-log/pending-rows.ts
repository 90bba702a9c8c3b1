import type { JournalChannel, JournalEntry } from '@hadrian/core/plugin'

/**
 * Entries of the journal whose rows are not in the database. Kept across reloads, so that what one generation of the
 * plugin could not write, the next one does.
 */
export class PendingRows {
  readonly entries = new Set<JournalEntry>()
  #adopted = false

  /** Takes over what earlier processes left; once. */
  adopt(channel: JournalChannel): void {
    if (this.#adopted) return
    this.#adopted = true
    for (const entry of channel.left) this.entries.add(entry)
  }

  /** The process ends: what is left is in the journal. */
  close(): void {
    this.entries.clear()
  }
}
