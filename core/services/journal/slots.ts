import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { lockDirectory, tryLockDirectory } from '../database/lock.ts'
import type { DirectoryLock } from '../database/lock.ts'
import type { Segment } from './segment.ts'

/** A folder of segments that one process at a time has. */
export interface Slot {
  readonly directory: string
  readonly lock: DirectoryLock
  readonly segments: Set<Segment>
}

/** The slots a process has after {@link claimSlots}. */
export interface ClaimedSlots {
  /** Where this process writes. */
  readonly own: Slot
  /** What processes left that are dead; each is removed when nothing in it is needed. */
  readonly adopted: readonly Slot[]
}

/** Longest wait for other processes that are claiming at this moment, which takes each a few milliseconds. */
const claimTimeoutMs = 10_000

/**
 * Takes the first free slot of the journal directory, and every slot there is that no living process holds. Processes
 * do this one after the other, so a slot that cannot be locked is one that is in use.
 * @throws StartupError if the directory cannot be used
 */
export function claimSlots(directory: string): ClaimedSlots {
  const turn = lockDirectory(directory, 'claim', { timeoutMs: claimTimeoutMs })
  try {
    const existing = readdirSync(directory)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .toSorted((one, other) => one - other)
    let own: Slot | undefined
    for (let number = 0; !own; number++) own = take(directory, number)
    // A slot may have been removed since the folder was read.
    const adopted = existing.flatMap((number) => take(directory, number) ?? []).filter(isThere)
    mkdirSync(own.directory, { recursive: true, mode: 0o700 })
    chmodSync(own.directory, 0o700)
    return { own, adopted }
  } finally {
    turn.release()
  }
}

/** Removes the folder of a slot if it is empty, and lets go of it. The lock file stays: another process may wait on it. */
export async function leaveSlot({ directory, lock }: Slot): Promise<void> {
  await rmdir(directory).catch(() => undefined)
  lock.release()
}

function take(directory: string, number: number): Slot | undefined {
  const lock = tryLockDirectory(directory, String(number))
  return lock && { directory: join(directory, String(number)), lock, segments: new Set() }
}

function isThere(slot: Slot): boolean {
  const there = existsSync(slot.directory)
  if (!there) slot.lock.release()
  return there
}
