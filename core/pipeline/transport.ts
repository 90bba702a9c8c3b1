import type { StreamEvent } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import type { TransportProvider } from '../contract/provider.ts'
import type { UpstreamRecord } from '../dialects/dialect.ts'
import type { AttemptRun } from './attempt.ts'
import { bareRecord } from './attempt.ts'

/**
 * Runs a provider that brings its own transport, under the same limits as an HTTP upstream. A provider that does not heed
 * its signal is left behind, not waited for.
 */
export async function* openTransport(
  attempt: AttemptRun,
  provider: TransportProvider,
): AsyncGenerator<readonly UpstreamRecord[], void> {
  const { exchange, target } = attempt
  const { timeouts } = attempt.instance
  const { clock } = exchange.services
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(attempt.signal.reason)
  attempt.signal.throwIfAborted()
  attempt.signal.addEventListener('abort', onAbort)
  const stopped = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => {
      cancelTotal()
      reject(controller.signal.reason)
    })
  })
  stopped.catch(() => {})
  const limit = (timeout: string, limitMs: number): (() => void) =>
    clock.after(limitMs, () =>
      controller.abort(
        gatewayError('provider_timeout', `Upstream provider timed out (${timeout}, ${limitMs} ms)`, {
          details: { provider: target.provider, timeout, limit_ms: limitMs },
          retryable: true,
        }),
      ),
    )
  /** Waits for a step of the provider, but no longer than the limit, and not past an abort. */
  const within = async <T>(step: Promise<T>, timeout: string, limitMs: number): Promise<T> => {
    const cancel = limit(timeout, limitMs)
    try {
      return await Promise.race([step, stopped])
    } finally {
      cancel()
    }
  }
  const cancelTotal = limit('total', timeouts.totalMs)
  let iterator: AsyncIterator<StreamEvent> | undefined
  let isComplete = false
  try {
    attempt.markSent()
    const events = await within(
      provider.send(attempt.request, target, controller.signal),
      'first_byte',
      timeouts.firstByteMs,
    )
    iterator = events[Symbol.asyncIterator]()
    for (let first = true; ; first = false) {
      const { done, value } = await within(
        iterator.next(),
        first ? 'first_byte' : 'idle',
        first ? timeouts.firstByteMs : timeouts.idleMs,
      )
      if (done) break
      const watched = attempt.watch([value])
      if (watched.events.length > 0) yield [bareRecord(watched.events)]
      if (watched.failure) throw watched.failure
    }
    isComplete = true
    attempt.complete()
  } finally {
    cancelTotal()
    attempt.signal.removeEventListener('abort', onAbort)
    if (!isComplete) {
      controller.abort(gatewayError('request_cancelled', 'The answer was left'))
      void iterator?.return?.()?.catch(() => {})
    }
  }
}
