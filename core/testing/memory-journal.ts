import type { Journal, JournalChannel, JournalEntry, JsonObject } from '../contract/plugin.ts'

/** One process that uses a {@link MemoryJournal}. */
export interface MemoryJournalProcess extends Journal {
  /** The process stops: everything appended is written, and the next process finds what is not released. */
  end(): void
  /** The process is killed: the next one finds what was written and not released. What it does from now on is void. */
  crash(): void
}

/**
 * A journal in memory, which behaves as the one on disk does. It stands for the data directory: each harness is a process
 * of its own, which finds what ended processes left and nothing of living ones.
 */
export interface MemoryJournal extends Journal {
  /** Starts a process. */
  process(): MemoryJournalProcess
  /** Kills all its processes, and so makes `left` of the next everything that was written and not released. */
  crash(): void
  /** From now on the disk takes nothing: `written` is rejected. Without an error it takes everything again. */
  fail(error?: Error): void
  /** Records of a channel that are not released, of all processes, oldest first. */
  unreleased(name: string): readonly JsonObject[]
}

/** Records that may wait while the disk takes nothing; then `append` throws. */
const waitingLimit = 100_000

/** Makes an empty journal. */
export function memoryJournal(): MemoryJournal {
  const disk = new Disk()
  let own: MemoryJournalProcess | undefined
  return {
    open: (name) => (own ??= disk.process()).open(name),
    process: () => disk.process(),
    crash() {
      own = undefined
      for (const process of disk.processes) process.crash()
    },
    fail: (error) => disk.fail(error),
    unreleased: (name) =>
      [...disk.entries].filter(({ channel }) => channel === name).map(({ json }) => JSON.parse(json) as JsonObject),
  }
}

class MemoryEntry implements JournalEntry {
  readonly record: JsonObject
  readonly channel: string
  /** The record as it was appended: what is done to it afterwards does not reach the disk. */
  readonly json: string
  /** Undefined when that process has ended and no other has opened the channel. */
  owner: MemoryProcess | undefined

  constructor(record: JsonObject, channel: string, owner: MemoryProcess) {
    this.record = record
    this.channel = channel
    this.json = JSON.stringify(record)
    this.owner = owner
  }
}

class Disk {
  /** What is written and not released. */
  readonly entries = new Set<MemoryEntry>()
  readonly processes = new Set<MemoryProcess>()
  failure: Error | undefined

  process(): MemoryProcess {
    const process = new MemoryProcess(this)
    this.processes.add(process)
    return process
  }

  fail(error: Error | undefined): void {
    this.failure = error && new Error(`the journal cannot be written: ${error.message}`, { cause: error })
    if (!this.failure) for (const process of this.processes) process.flush()
  }
}

class MemoryProcess implements MemoryJournalProcess {
  readonly #disk: Disk
  readonly #channels = new Map<string, Promise<JournalChannel>>()
  #waiting: MemoryEntry[] = []
  readonly #released = new WeakSet<MemoryEntry>()
  #flushing: PromiseWithResolvers<void> | undefined
  #ended = false

  constructor(disk: Disk) {
    this.#disk = disk
  }

  open(name: string): Promise<JournalChannel> {
    if (this.#ended) return Promise.reject(new Error('the journal is closed'))
    const channel = this.#channels.get(name) ?? Promise.resolve(this.#channel(name))
    this.#channels.set(name, channel)
    return channel
  }

  end(): void {
    this.flush()
    this.crash()
  }

  crash(): void {
    if (this.#ended) return
    this.#ended = true
    this.#disk.processes.delete(this)
    this.#waiting = []
    for (const entry of this.#disk.entries) if (entry.owner === this) entry.owner = undefined
  }

  flush(): void {
    const { failure, entries } = this.#disk
    const flushing = this.#flushing
    this.#flushing = undefined
    if (failure) {
      flushing?.reject(failure)
      return
    }
    for (const entry of this.#waiting) if (!this.#released.has(entry)) entries.add(entry)
    this.#waiting = []
    flushing?.resolve()
  }

  #channel(name: string): JournalChannel {
    const isLeft = (entry: MemoryEntry): boolean => entry.channel === name && entry.owner === undefined
    const left = [...this.#disk.entries].filter(isLeft).map((entry) => {
      const copy = new MemoryEntry(JSON.parse(entry.json) as JsonObject, name, this)
      this.#disk.entries.delete(entry)
      this.#disk.entries.add(copy)
      return copy
    })
    const released = this.#released
    return {
      get left() {
        return left.filter((entry) => !released.has(entry))
      },
      append: (record) => this.#append(name, record),
      written: () => this.#written(),
      release: (entry) => this.#release(entry),
    }
  }

  #append(name: string, record: JsonObject): MemoryEntry {
    if (this.#waiting.length >= waitingLimit) throw new Error('the journal takes no more records')
    const entry = new MemoryEntry(record, name, this)
    // What a killed process still does must not be seen, and must not disturb it.
    if (this.#ended) return entry
    this.#waiting.push(entry)
    this.#schedule()
    return entry
  }

  #written(): Promise<void> {
    if (this.#ended || this.#waiting.length === 0) return Promise.resolve()
    if (this.#disk.failure) return Promise.reject(this.#disk.failure)
    this.#schedule()
    return this.#flushing!.promise
  }

  #schedule(): void {
    if (this.#flushing || this.#disk.failure) return
    this.#flushing = Promise.withResolvers<void>()
    this.#flushing.promise.catch(() => undefined)
    setImmediate(() => this.flush())
  }

  #release(entry: JournalEntry): void {
    if (!(entry instanceof MemoryEntry)) throw new TypeError('this is no entry of the journal')
    if (this.#ended) return
    this.#released.add(entry)
    this.#disk.entries.delete(entry)
  }
}
