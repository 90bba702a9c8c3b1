import { rename, rm } from 'node:fs/promises'
import type { Logger } from '../../contract/plugin.ts'
import type { Segment, StoredEntry } from './segment.ts'
import { leaveSlot } from './slots.ts'
import type { Slot } from './slots.ts'

/** A segment of which less than this share is needed is emptied by copying that to the newest. */
const copiedShare = 0.25
/** So many segments kept are worth a warning; 128 MiB at the usual size. */
const manySegments = 16

/** All files of the journal that are still needed, oldest first, and what happens to those that are not. */
export class Segments {
  readonly #logger: Logger
  /** The slot that is kept while the process lives. */
  readonly #own: Slot
  readonly #all = new Set<Segment>()
  readonly #toCopy = new Set<Segment>()
  readonly #removals = new Set<Promise<void>>()
  #warnAt = manySegments

  constructor(own: Slot, logger: Logger) {
    this.#own = own
    this.#logger = logger
  }

  get all(): ReadonlySet<Segment> {
    return this.#all
  }

  add(segment: Segment): void {
    this.#all.add(segment)
    segment.slot.segments.add(segment)
  }

  /** What little is needed of some segments will be copied, so that they can go. */
  compact(): void {
    for (const segment of this.#all) if (segment.liveBytes < segment.bytes * copiedShare) this.copyLater(segment)
  }

  /** Everything that is needed and lies beside something that is not will be copied. */
  compactAll(): void {
    for (const segment of this.#all) if (segment.entries.size < segment.records) this.copyLater(segment)
  }

  /** A new segment was begun. */
  rotated(): void {
    this.compact()
    const count = this.#all.size
    if (count < manySegments) this.#warnAt = manySegments
    if (count <= this.#warnAt) return
    this.#warnAt = 2 * count
    this.#logger.warn(
      { segments: count, unreleased: this.#countByChannel() },
      'the journal grows: its records are not released',
    )
  }

  /** What is needed of this segment will be copied. */
  copyLater(segment: Segment): void {
    if (segment.entries.size > 0) this.#toCopy.add(segment)
  }

  get hasToCopy(): boolean {
    return this.#toCopy.size > 0
  }

  /** Entries to copy next, all of the same segment. They count as copied when they are in another. */
  toCopy(limit: number): StoredEntry[] {
    for (const segment of this.#toCopy) {
      const entries = [...segment.entries.values().take(limit)]
      if (entries.length > 0) return entries
      this.#toCopy.delete(segment)
    }
    return []
  }

  /** Removes the file of a segment that is not needed, and its slot after the last, unless it is the process's own. */
  remove(segment: Segment): void {
    if (!this.#all.delete(segment)) return
    this.#toCopy.delete(segment)
    const removal = this.#removeFile(segment).finally(() => this.#removals.delete(removal))
    this.#removals.add(removal)
  }

  /** Waits for removals, and lets go of all slots. */
  async close(): Promise<void> {
    await Promise.all(this.#removals)
    const slots = new Set([...this.#all].map(({ slot }) => slot))
    await Promise.all([...slots.add(this.#own)].map(leaveSlot))
  }

  async #removeFile(segment: Segment): Promise<void> {
    const { path, slot, unreadable } = segment
    try {
      if (unreadable) await rename(path, `${path}.damaged`)
      else await rm(path, { force: true })
    } catch (error) {
      this.#logger.warn({ path, error }, 'a journal file that is not needed could not be removed')
    }
    slot.segments.delete(segment)
    if (slot !== this.#own && slot.segments.size === 0) await leaveSlot(slot)
  }

  #countByChannel(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const { entries } of this.#all) for (const { channel } of entries) counts[channel] = (counts[channel] ?? 0) + 1
    return counts
  }
}
