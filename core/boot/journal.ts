import { join } from 'node:path'
import type { Clock, Journal, Logger } from '../contract/plugin.ts'
import { createJournal } from '../services/journal/index.ts'
import type { JournalSync, OpenedJournal } from '../services/journal/index.ts'
import { makeDataDirectory } from './data-directory.ts'
import { childLogger } from './loggers.ts'

/** Which journal a process has, and how it works. */
export interface JournalSettings {
  /** Used and not closed. */
  readonly borrowed: Journal | undefined
  /** Nothing will be started, so nothing may be touched. */
  readonly inspect: boolean
  readonly sync: JournalSync
  readonly clock: Clock
  readonly logger: Logger
}

/** The journal of a process: in its data directory, unless one was given. */
export function journalIn(dataDirectory: string, settings: JournalSettings): OpenedJournal {
  const { borrowed, inspect, sync, clock, logger } = settings
  if (borrowed) return { open: (name) => borrowed.open(name), close }
  if (inspect) return { open: () => Promise.reject(new Error('the journal opens when the gateway starts')), close }
  return createJournal({
    directory: join(dataDirectory, 'journal'),
    prepare: () => makeDataDirectory(dataDirectory),
    sync,
    clock,
    logger: childLogger(logger, { service: 'journal' }),
  })
}

/** There is nothing of ours to close. */
function close(): Promise<void> {
  return Promise.resolve()
}
