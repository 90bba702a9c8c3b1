import { closeSync, fdatasync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Segment } from './segment.ts'

const datasync = promisify(fdatasync)

/** A segment that is open for writing. */
export class SegmentFile {
  readonly segment: Segment
  readonly #descriptor: number
  /** Whether something in it was written and not yet forced to the disk. */
  dirty = false
  #closed = false

  /** Makes the file, for its owner only. */
  constructor(segment: Segment) {
    this.segment = segment
    this.#descriptor = openSync(segment.path, 'wx', 0o600)
  }

  /**
   * Writes at the end. After an error the file is as it was before, or has a torn end that the next write overwrites.
   */
  write(bytes: Buffer): void {
    const { segment } = this
    try {
      for (let written = 0; written < bytes.length;)
        written += writeSync(this.#descriptor, bytes, written, bytes.length - written, segment.bytes + written)
    } catch (error) {
      this.#truncate()
      throw error
    }
    segment.bytes += bytes.length
    this.dirty = true
  }

  /** Forces to the disk what is written so far. */
  async sync(): Promise<void> {
    this.dirty = false
    await datasync(this.#descriptor)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeQuietly(this.#descriptor)
  }

  #truncate(): void {
    try {
      ftruncateSync(this.#descriptor, this.segment.bytes)
    } catch {
      // The torn end is overwritten, or left out when the file is read.
    }
  }
}

/** Closes a file of which everything was synced before, or has failed to be and was reported. */
export function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor)
  } catch {
    // There is nothing left to save.
  }
}
