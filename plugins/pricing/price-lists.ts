import { execFile } from 'node:child_process'
import { execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Logger } from '@hadrian/core/plugin'
import type { FoundLists, WantedLists } from './price-list.ts'

/** The file beside this one: TypeScript from source, JavaScript when built. */
const readerFile = fileURLToPath(
  new URL(`./price-reader-process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
)
/** Reading takes a tenth of a second; a machine that is busy starting may take longer. */
const limitMs = 20_000
/** All lists together are about 1 MB. */
const limitBytes = 32 * 1024 * 1024

/**
 * The price lists of instances. A process of its own reads them, so that the megabytes which all prices of the world
 * take are gone with it; where none can be started, this one does.
 */
export async function findPriceLists(wanted: WantedLists, logger: Logger, signal: AbortSignal): Promise<FoundLists> {
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
    logger.debug({ error }, 'built-in prices are read in the process of the gateway')
    const { readPriceLists } = await import('./price-reader.ts')
    return readPriceLists(wanted)
  }
}
