import type { CancelSignal } from './cancellation.ts'

/**
 * The result of `work`, unless the signal aborts first: then the call rejects with the signal's reason, and `work`, which
 * may not heed the signal, is left behind.
 */
export function untilAborted<T>(signal: CancelSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort)
    work.then(
      (value) => {
        signal.removeEventListener('abort', onAbort)
        return resolve(value)
      },
      (error: unknown) => {
        signal.removeEventListener('abort', onAbort)
        reject(error)
      },
    )
  })
}
