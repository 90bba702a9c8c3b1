import type { Clock, Journal, JournalChannel, JournalEntry, JsonObject, Logger } from '../../contract/plugin.ts'
import { StoredEntry } from './segment.ts'
import { Segments } from './segments.ts'
import { readSlots } from './slot-reader.ts'
import { claimSlots } from './slots.ts'
import { JournalWriter } from './writer.ts'
import type { JournalSync } from './writer.ts'

export type { JournalSync } from './writer.ts'

/** What {@link createJournal} is made of. */
export interface JournalOptions {
  /** Made when the first channel is opened. */
  readonly directory: string
  /** Called before anything in the directory is touched. Throws what the opening shall fail with. */
  readonly prepare?: () => void
  readonly sync: JournalSync
  readonly clock: Clock
  readonly logger: Logger
  /** Length at which a file is ended; default 8 MiB. */
  readonly segmentBytes?: number
  /** Most that waits in memory while the disk takes nothing, in characters; default 16 Mi. */
  readonly waitingLimit?: number
}

/** The journal of a process. */
export interface OpenedJournal extends Journal {
  /** Writes and syncs everything and lets others have what is not released. Nothing happens if it was never used. */
  close(): Promise<void>
}

/** Makes the journal of a process. Nothing on the disk is touched before the first channel is opened. */
export function createJournal(options: JournalOptions): OpenedJournal {
  const channels = new Map<string, Promise<JournalChannel>>()
  let started: Promise<StartedJournal> | undefined
  let closed = false
  function start(): Promise<StartedJournal> {
    started ??= startJournal(options).catch((error: unknown) => {
      started = undefined
      throw error
    })
    return started
  }
  return {
    open(name) {
      if (closed) return Promise.reject(new Error('the journal is closed'))
      if (!/^[\w.-]+$/.test(name)) return Promise.reject(new TypeError(`no name of a journal channel: "${name}"`))
      let channel = channels.get(name)
      if (!channel) {
        channel = start().then((journal) => journal.open(name))
        channels.set(name, channel)
        channel.catch(() => channels.delete(name))
      }
      return channel
    },
    async close() {
      closed = true
      const journal = await started?.catch(() => undefined)
      await journal?.close()
    },
  }
}

/** A journal whose slots are claimed and whose files were read. */
interface StartedJournal {
  open(name: string): JournalChannel
  close(): Promise<void>
}

async function startJournal(options: JournalOptions): Promise<StartedJournal> {
  const { directory, sync, clock, logger, segmentBytes = 8 * 1024 * 1024, waitingLimit = 16 * 1024 * 1024 } = options
  options.prepare?.()
  const { own, adopted } = claimSlots(directory)
  const segments = new Segments(own, logger)
  const left = await readSlots([own, ...adopted], segments, logger).catch((error: unknown) => {
    for (const { lock } of [own, ...adopted]) lock.release()
    throw error
  })
  const writer = new JournalWriter({
    slot: own,
    firstNumber: left.lastNumber + 1,
    afterSequence: Math.max(clock.now() * 1_000, left.lastSequence),
    segments,
    sync,
    clock,
    logger,
    segmentBytes,
    waitingLimit,
  })
  return {
    open(name) {
      const entries = left.entries.get(name) ?? []
      left.entries.delete(name)
      return new StoredChannel(name, writer, entries)
    },
    async close() {
      await writer.close()
      await segments.close()
    },
  }
}

class StoredChannel implements JournalChannel {
  readonly #name: string
  readonly #writer: JournalWriter
  #left: readonly StoredEntry[]

  constructor(name: string, writer: JournalWriter, left: readonly StoredEntry[]) {
    this.#name = name
    this.#writer = writer
    this.#left = left
  }

  get left(): readonly StoredEntry[] {
    if (this.#left.some(({ released }) => released)) this.#left = this.#left.filter(({ released }) => !released)
    return this.#left
  }

  append(record: JsonObject): StoredEntry {
    return this.#writer.append(this.#name, record)
  }

  written(): Promise<void> {
    return this.#writer.written()
  }

  release(entry: JournalEntry): void {
    if (!(entry instanceof StoredEntry)) throw new TypeError('this is no entry of the journal')
    this.#writer.release(entry)
  }
}
