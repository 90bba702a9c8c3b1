import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { JournalChannel, JsonObject } from '../../core/contract/plugin.ts'
import { systemClock } from '../../core/services/clock.ts'
import { createJournal } from '../../core/services/journal/index.ts'
import type { JournalOptions, OpenedJournal } from '../../core/services/journal/index.ts'
import { recordingLogger } from './boot-fixtures.ts'

/** A directory for one test; the journal's is made below it. */
export function journalDirectory(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'hadrian-journal-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'data', 'journal')
}

/** A journal in a directory, and what it logs. */
export function journalAt(
  directory: string,
  options: Partial<JournalOptions> = {},
): OpenedJournal & { readonly log: ReturnType<typeof recordingLogger>['entries'] } {
  const logger = recordingLogger()
  const journal = createJournal({ directory, sync: 'background', clock: systemClock, logger, ...options })
  return { ...journal, log: logger.entries }
}

/** The records that earlier processes left in a channel. */
export function leftIn(channel: JournalChannel): JsonObject[] {
  return channel.left.map(({ record }) => record)
}

/** What the next process finds in a channel; it releases nothing. */
export async function leftAt(directory: string, name = 'money'): Promise<JsonObject[]> {
  const journal = journalAt(directory)
  const left = leftIn(await journal.open(name))
  await journal.close()
  return left
}

/** The segments of all slots, as `slot/number.log`, oldest first. */
export function segmentsAt(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.includes('.log'))
    .toSorted()
}
