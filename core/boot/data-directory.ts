import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { firstLine, StartupError } from '../services/problems.ts'

/**
 * Where the gateway keeps its state: the directory given, else HADRIAN_DATA_DIR, else `hadrian` under XDG_DATA_HOME
 * (which the XDG rules ignore unless it is absolute), else `~/.local/share/hadrian`. Nothing is made yet.
 */
export function dataDirectory(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  if (given !== undefined) return resolve(given)
  if (environment['HADRIAN_DATA_DIR']) return resolve(environment['HADRIAN_DATA_DIR'])
  const xdg = environment['XDG_DATA_HOME']
  if (xdg && isAbsolute(xdg)) return join(xdg, 'hadrian')
  return join(environment['HOME'] || homedir(), '.local', 'share', 'hadrian')
}

/**
 * Makes the data directory, for its owner only.
 * @throws StartupError if it cannot be made or is no directory
 */
export function makeDataDirectory(directory: string): void {
  try {
    if (makeDirectories(directory)) chmodSync(directory, 0o700)
    if (!statSync(directory).isDirectory()) throw new Error('it is no directory')
  } catch (error) {
    throw new StartupError(
      [
        {
          path: directory,
          message: `the data directory cannot be used: ${firstLine(error)}`,
          hint: 'Set HADRIAN_DATA_DIR to a directory this user may write to.',
        },
      ],
      { cause: error },
    )
  }
}

/**
 * Makes a directory and those above it that are missing, one at a time: Node's own `recursive` never returns where the
 * system says that a directory which is there does not exist, as Linux does under `/proc`.
 * @returns whether it was not there before
 */
function makeDirectories(directory: string): boolean {
  if (existsSync(directory)) return false
  const parent = dirname(directory)
  if (parent !== directory) makeDirectories(parent)
  try {
    mkdirSync(directory, { mode: 0o700 })
    return true
  } catch (error) {
    // Another process that starts at the same time may have been quicker.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && existsSync(directory)) return false
    throw error
  }
}
