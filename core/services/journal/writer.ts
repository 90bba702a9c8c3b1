import { join } from 'node:path'
import type { Clock, JsonObject, Logger } from '../../contract/plugin.ts'
import { firstLine } from '../problems.ts'
import { encodeLine, recordLimit } from './line.ts'
import { Segment, StoredEntry } from './segment.ts'
import { SegmentFile } from './segment-file.ts'
import type { Segments } from './segments.ts'
import type { Slot } from './slots.ts'
import { deferred, SyncLoop } from './sync-loop.ts'

/** When a record counts as written: when the operating system has it, or when the disk has. */
export type JournalSync = 'background' | 'request'

/** What {@link JournalWriter} is made of. */
export interface WriterOptions {
  readonly slot: Slot
  /** Number of its first segment. */
  readonly firstNumber: number
  /** Sequences begin above this one. */
  readonly afterSequence: number
  readonly segments: Segments
  readonly sync: JournalSync
  readonly clock: Clock
  readonly logger: Logger
  /** A segment that would become longer is ended first. */
  readonly segmentBytes: number
  /** Most that may wait in memory while the disk takes nothing, in characters. */
  readonly waitingLimit: number
}

/** How long a record that nobody waits for stays in memory, in milliseconds: what a killed process may lose. */
const longestWaitMs = 2
/** How soon after a failure the disk is tried again. */
const retryDelayMs = 1_000
/** So much is written before the turn of the event loop ends, to bound the memory of a burst. */
const burstCharacters = 4 * 1024 * 1024
/** Entries of old segments that are copied with one write: a fraction of a millisecond. */
const copiedPerWrite = 128

const done = Promise.resolve()

/** Appends lines to the newest segment, all that come within a moment with one write. */
export class JournalWriter {
  readonly #options: WriterOptions
  readonly #syncLoop: SyncLoop
  #file: SegmentFile | undefined
  #nextNumber: number
  #sequence: number
  #lines: string[] = []
  #entries: StoredEntry[] = []
  #waitingCharacters = 0
  #releasedCharacters = 0
  #scheduled = false
  #timer: NodeJS.Timeout | undefined
  #waiting: PromiseWithResolvers<void> | undefined
  #failure: { readonly error: Error; readonly promise: Promise<void> } | undefined
  #failureLogged = false
  #freshFile = false
  #cancelRetry: (() => void) | undefined
  #closed = false

  constructor(options: WriterOptions) {
    this.#options = options
    this.#nextNumber = options.firstNumber
    this.#sequence = options.afterSequence
    const { clock, slot, segments } = options
    this.#syncLoop = new SyncLoop({
      clock,
      directories: [slot.directory, join(slot.directory, '..'), join(slot.directory, '..', '..')],
      delayMs: options.sync === 'request' ? 0 : 10,
      onFailure: (error, files) => {
        // What the system could not write it may have thrown away, so it must be written again, and elsewhere.
        for (const { segment } of files) segments.copyLater(segment)
        this.#freshFile = true
        return this.#fail(error)
      },
    })
  }

  /**
   * Takes a record to be written within two milliseconds, at the end of this turn of the event loop if somebody waits.
   * @throws Error if the record is too long, if the journal is closed, or if too much waits for a disk that takes nothing
   */
  append(channel: string, record: JsonObject): StoredEntry {
    const json = JSON.stringify(record)
    if (json.length > recordLimit) throw new RangeError(`a record of ${json.length} characters: ${recordLimit} is most`)
    if (this.#closed) throw new Error('the journal is closed')
    if (this.#waitingCharacters >= this.#options.waitingLimit) this.#makeRoom()
    const sequence = ++this.#sequence
    const line = encodeLine(sequence, channel, json)
    const entry = new StoredEntry(json, channel, sequence, line.length)
    this.#lines.push(line)
    this.#entries.push(entry)
    this.#waitingCharacters += line.length
    if (this.#waitingCharacters > burstCharacters && !this.#failure) this.#flush()
    else this.#scheduleSoon()
    return entry
  }

  written(): Promise<void> {
    if (this.#failure) return this.#failure.promise
    if (this.#lines.length > 0) {
      this.#schedule()
      return (this.#waiting ??= deferred()).promise
    }
    return this.#options.sync === 'request' ? (this.#syncLoop.pending ?? done) : done
  }

  release(entry: StoredEntry): void {
    if (entry.released || this.#closed) return
    entry.released = true
    const { segment } = entry
    if (!segment) {
      this.#releasedCharacters += entry.size
      return
    }
    segment.remove(entry)
    if (!segment.needed && segment !== this.#file?.segment) this.#drop(segment)
  }

  /** Writes and syncs what there is, as far as the disk takes it, and closes the file. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancelRetry?.()
    this.#failure = undefined
    if (this.#lines.length > 0) this.#flush()
    this.#copyLeftovers()
    if (this.#lines.length > 0) this.#options.logger.error({ records: this.#lines.length }, 'journal records are lost')
    this.#cancelRetry?.()
    await this.#syncLoop.close()
    const segment = this.#file?.segment
    if (segment && !segment.needed) this.#options.segments.remove(segment)
  }

  /** At the end of this turn of the event loop. */
  #schedule(): void {
    if (this.#scheduled || this.#failure) return
    this.#scheduled = true
    setImmediate(this.#flushNow)
  }

  /** Nobody waits yet, and a write for each turn would cost more than all else that is done for a record. */
  #scheduleSoon(): void {
    if (this.#scheduled || this.#failure) return
    this.#timer ??= setTimeout(this.#flushNow, longestWaitMs).unref()
  }

  readonly #flushNow = (): void => {
    this.#scheduled = false
    if (!this.#failure && !this.#closed) this.#flush()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const { segments } = this.#options
    const copied = segments.toCopy(copiedPerWrite)
    if (this.#lines.length === 0 && copied.length === 0) return
    const copies = copied.map(({ sequence, channel, json }) => encodeLine(sequence, channel, json))
    try {
      const bytes = Buffer.from(copies.join('') + this.#lines.join(''))
      this.#fileFor(bytes.length).write(bytes)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // A full disk may have room again; any other trouble may be that of this file.
      if (code !== 'ENOSPC' && code !== 'EDQUOT') this.#freshFile = true
      this.#fail(error)
      return
    }
    this.#keep(copied)
    if (segments.hasToCopy && !this.#closed) this.#schedule()
    if (this.#failureLogged) {
      this.#failureLogged = false
      this.#options.logger.info({ directory: this.#options.slot.directory }, 'the journal is written again')
    }
    const waiting = this.#waiting
    this.#waiting = undefined
    this.#syncLoop.changed()
    waiting?.resolve(this.#options.sync === 'request' ? this.#syncLoop.pending : undefined)
  }

  #keep(copied: readonly StoredEntry[]): void {
    const { segment } = this.#file!
    segment.records += copied.length + this.#lines.length
    for (const entry of copied) {
      const from = entry.segment!
      segment.add(entry)
      if (!from.needed) this.#drop(from)
    }
    for (const entry of this.#entries) if (!entry.released) segment.add(entry)
    this.#lines = []
    this.#entries = []
    this.#waitingCharacters = 0
    this.#releasedCharacters = 0
    // Sequences follow the time, so that records of several processes sort about as they were appended.
    this.#sequence = Math.max(this.#sequence, this.#options.clock.now() * 1_000)
  }

  #fileFor(bytes: number): SegmentFile {
    const old = this.#file
    if (old && !this.#freshFile && (old.segment.bytes === 0 || old.segment.bytes + bytes <= this.#options.segmentBytes))
      return old
    const { slot, segments } = this.#options
    const segment = new Segment(join(slot.directory, `${String(this.#nextNumber).padStart(8, '0')}.log`), slot)
    // The number is used up also if the file cannot be made: something of this name may be there already.
    this.#nextNumber++
    const file = new SegmentFile(segment)
    this.#freshFile = false
    this.#file = file
    segments.add(segment)
    this.#syncLoop.moveOn(file)
    if (old && !old.segment.needed) this.#drop(old.segment)
    segments.rotated()
    return file
  }

  /** A copy of what a segment held may not be on the disk yet, so the file goes after the next sync. */
  #drop(segment: Segment): void {
    this.#syncLoop.afterSync(() => this.#options.segments.remove(segment))
  }

  #fail(cause: unknown): Error {
    const { logger, slot, clock } = this.#options
    const failure = new Error(`the journal cannot be written: ${firstLine(cause)}`, { cause })
    const { promise, reject } = deferred()
    reject(failure)
    this.#failure = { error: failure, promise }
    this.#waiting?.reject(failure)
    this.#waiting = undefined
    if (!this.#failureLogged) logger.error({ directory: slot.directory, error: cause }, 'the journal cannot be written')
    this.#failureLogged = true
    this.#cancelRetry?.()
    this.#cancelRetry = clock.after(retryDelayMs, () => {
      this.#failure = undefined
      this.#forgetReleased()
      this.#flush()
    })
    return failure
  }

  /** Leaves the next process what is not released and little else. */
  #copyLeftovers(): void {
    const { segments } = this.#options
    segments.compactAll()
    this.#freshFile ||= segments.hasToCopy
    while (segments.hasToCopy && !this.#failure) this.#flush()
  }

  #makeRoom(): void {
    if (this.#releasedCharacters > this.#options.waitingLimit / 4) this.#forgetReleased()
    if (this.#waitingCharacters >= this.#options.waitingLimit)
      throw new Error(`the journal takes no more records: ${this.#lines.length} wait for the disk`, {
        cause: this.#failure?.error,
      })
  }

  /** Records that were released before they could be written need not be. */
  #forgetReleased(): void {
    if (this.#releasedCharacters === 0) return
    this.#lines = this.#lines.filter((_, index) => !this.#entries[index]!.released)
    this.#entries = this.#entries.filter(({ released }) => !released)
    this.#waitingCharacters -= this.#releasedCharacters
    this.#releasedCharacters = 0
  }
}
