import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StartupError } from '../problems.ts'

/** SQLite's result code for a lock that another connection holds. */
const sqliteBusy = 5

/** A directory that is ours until `release`, or until the process ends in whatever way. */
export interface DirectoryLock {
  /** May be called again. */
  release(): void
}

/**
 * Makes the directory, readable by its owner only, and takes the lock of this name in it. The lock is one of the
 * operating system on an open file (an exclusive transaction of SQLite), so there is nothing stale after a crash.
 * @param name of the lock file, without `.lock`: one per thing in the directory that has a single writer
 * @param options.timeoutMs how long to wait, with the whole process, for another that holds it; default not at all
 * @throws StartupError if another process, or this one, holds the lock, or if the directory cannot be used
 */
export function lockDirectory(
  directory: string,
  name: string,
  { timeoutMs = 0 }: { readonly timeoutMs?: number } = {},
): DirectoryLock {
  try {
    return lock(directory, name, timeoutMs)
  } catch (error) {
    throw lockProblem(directory, error)
  }
}

/**
 * The same for a lock that others may well hold.
 * @returns undefined if another process, or this one, holds it
 * @throws StartupError if the directory cannot be used
 */
export function tryLockDirectory(directory: string, name: string): DirectoryLock | undefined {
  try {
    return lock(directory, name, 0)
  } catch (error) {
    if ((error as { errcode?: number }).errcode === sqliteBusy) return undefined
    throw lockProblem(directory, error)
  }
}

function lock(directory: string, name: string, timeoutMs: number): DirectoryLock {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, `${name}.lock`)
  const file = new DatabaseSync(path, { timeout: timeoutMs })
  try {
    file.exec('begin exclusive')
    chmodSync(path, 0o600)
  } catch (error) {
    file.close()
    throw error
  }
  let held: DatabaseSync | undefined = file
  return {
    release() {
      held?.close()
      held = undefined
    },
  }
}

function lockProblem(directory: string, error: unknown): StartupError {
  const { errcode, message } = error as { errcode?: number; message: string }
  if (errcode === sqliteBusy) {
    return new StartupError(
      [
        {
          path: directory,
          message: 'this data directory is in use by another running gateway',
          hint: 'Stop that one first, or give this one a directory of its own with HADRIAN_DATA_DIR=/another/directory.',
        },
      ],
      { cause: error },
    )
  }
  return new StartupError(
    [
      {
        path: directory,
        message: `cannot be used as the data directory: ${message}`,
        hint: 'Make it a directory this user can write to, or choose another with HADRIAN_DATA_DIR=/another/directory.',
      },
    ],
    { cause: error },
  )
}
