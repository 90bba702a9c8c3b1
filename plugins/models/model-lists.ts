import { execFile } from 'node:child_process'
import { execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Logger } from '@hadrian/core/plugin'
import type { FoundLists, WantedLists } from './model-list.ts'

/** The file beside this one: TypeScript from source, JavaScript when built. */
const readerFile = fileURLToPath(
  new URL(`./list-reader-process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
)
/** Reading takes a tenth of a second; a machine that is busy starting may take longer. */
const limitMs = 20_000
/** All lists together are less than 1 MB. */
const limitBytes = 32 * 1024 * 1024

/**
 * The lists of companies. A process of its own reads them, so that the megabytes which the data of all companies take
 * are gone with it; where none can be started, this one does.
 */
export async function findModelLists(wanted: WantedLists, logger: Logger, signal: AbortSignal): Promise<FoundLists> {
  try {
    const { stdout } = await promisify(execFile)(execPath, [readerFile, JSON.stringify(wanted)], {
      env: { NODE_NO_WARNINGS: '1' },
      maxBuffer: limitBytes,
      timeout: limitMs,
      signal,
    })
    return JSON.parse(stdout) as FoundLists
  } catch (error) {
    if (signal.aborted) throw error
    logger.debug({ error }, 'built-in data of models are read in the process of the gateway')
    const { readModelLists } = await import('./list-reader.ts')
    return readModelLists(wanted)
  }
}
