import { fsync, open } from 'node:fs'
import { promisify } from 'node:util'
import type { Clock } from '../../contract/plugin.ts'
import { closeQuietly } from './segment-file.ts'
import type { SegmentFile } from './segment-file.ts'

/** What {@link SyncLoop} is made of. */
export interface SyncLoopOptions {
  readonly clock: Clock
  /** Synced after a file was made, so that its name and those of the new folders it lies in survive too. */
  readonly directories: readonly string[]
  /** From a write to the sync that covers it; 0: at once, or as soon as the one before has ended. */
  readonly delayMs: number
  /** Told about a sync that failed; returns what those who wait for it are told. */
  readonly onFailure: (error: unknown, files: readonly SegmentFile[]) => Error
}

/** Forces what was written to the disk, one sync at a time for everything written meanwhile. */
export class SyncLoop {
  readonly #options: SyncLoopOptions
  #file: SegmentFile | undefined
  /** Files that were written before, to be closed after their last sync. */
  #left: SegmentFile[] = []
  #directoryChanged = false
  #next: PromiseWithResolvers<void> | undefined
  #inFlight: PromiseWithResolvers<void> | undefined
  #running: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #afterSync: (() => void)[] = []

  constructor(options: SyncLoopOptions) {
    this.#options = options
  }

  /** From now on this file is written. */
  moveOn(file: SegmentFile): void {
    if (this.#file) this.#left.push(this.#file)
    this.#file = file
    this.#directoryChanged = true
  }

  /** Something was written. */
  changed(): void {
    if (this.#running) return
    if (this.#options.delayMs === 0) this.#start()
    else this.#cancelTimer ??= this.#options.clock.after(this.#options.delayMs, () => this.#start())
  }

  /** Resolves when everything written so far is on the disk; undefined if it is. */
  get pending(): Promise<void> | undefined {
    if (this.#dirty) return (this.#next ??= deferred()).promise
    return this.#inFlight?.promise
  }

  /** Calls back when everything written so far is on the disk, at once if it is. */
  afterSync(callback: () => void): void {
    if (this.#dirty || this.#running) this.#afterSync.push(callback)
    else callback()
  }

  /** Syncs what is not and closes the files. */
  async close(): Promise<void> {
    await this.#running
    this.#start()
    await this.#running
    this.#cancelTimer?.()
    for (const file of [...this.#left, this.#file]) file?.close()
  }

  get #dirty(): boolean {
    return this.#file?.dirty === true || this.#left.length > 0
  }

  #start(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#running || !this.#dirty) return
    this.#running = this.#sync().finally(() => {
      this.#running = undefined
      if (this.#dirty) this.changed()
      else this.#callBack(this.#afterSync.splice(0))
    })
  }

  async #sync(): Promise<void> {
    const left = this.#left.splice(0)
    const files = this.#file?.dirty ? [...left, this.#file] : left
    const callbacks = this.#afterSync.splice(0)
    const inFlight = (this.#inFlight = this.#next ?? deferred())
    this.#next = undefined
    try {
      const directoryChanged = this.#directoryChanged
      this.#directoryChanged = false
      await Promise.all(files.map((file) => file.sync()))
      if (directoryChanged) await Promise.all(this.#options.directories.map(syncDirectory))
      inFlight.resolve()
      this.#callBack(callbacks)
    } catch (error) {
      this.#directoryChanged = true
      this.#afterSync.unshift(...callbacks)
      inFlight.reject(this.#options.onFailure(error, files))
    } finally {
      this.#inFlight = undefined
      for (const file of left) file.close()
    }
  }

  #callBack(callbacks: readonly (() => void)[]): void {
    for (const callback of callbacks) callback()
  }
}

/** A promise that may be rejected without anybody waiting for it. */
export function deferred(): PromiseWithResolvers<void> {
  const made = Promise.withResolvers<void>()
  made.promise.catch(() => undefined)
  return made
}

const openFile = promisify(open)
const syncFile = promisify(fsync)

/** Windows knows no sync of a directory and needs none. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return
  const descriptor = await openFile(directory, 'r')
  try {
    await syncFile(descriptor)
  } finally {
    closeQuietly(descriptor)
  }
}
