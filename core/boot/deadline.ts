import type { Clock } from '../contract/plugin.ts'

/** Node ends a process that only waits for promises; an unfinished step of the boot must not look like success. */
const forever = 2 ** 31 - 1

/**
 * Runs one step of the boot with a deadline, and keeps the process alive meanwhile.
 *
 * @param givenUp rejects when nobody wants the step any more
 * @throws Error saying how long it took, when the deadline passes; whatever `work` throws
 */
export async function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  work: () => T | Promise<T>,
  givenUp?: Promise<never>,
): Promise<T> {
  const alive = setInterval(() => undefined, forever)
  let cancel: (() => void) | undefined
  try {
    return await Promise.race([
      // In a promise, so that a synchronous throw takes the same way.
      Promise.resolve().then(work),
      new Promise<never>((_, reject) => {
        cancel = clock.after(timeoutMs, () => reject(new Error(`did not finish within ${timeoutMs / 1000} seconds`)))
      }),
      ...(givenUp ? [givenUp] : []),
    ])
  } finally {
    cancel?.()
    clearInterval(alive)
  }
}

/** Waits for `work`, but not longer than this in real time: a stopped test clock must not keep a process from ending. */
export async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, limitMs)
  await Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}
