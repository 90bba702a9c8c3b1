import type { Clock } from '../../contract/plugin.ts'

/** Waits for `work`, but not longer than `limitMs`: then the result is undefined. */
export async function within<T>(clock: Clock, limitMs: number, work: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>()
  const cancel = clock.after(limitMs, () => late.resolve(undefined))
  return Promise.race([work, late.promise]).finally(cancel)
}
