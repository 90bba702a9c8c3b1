import type { StreamEvent } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import { textEvents } from './fake-provider.ts'
import type { FakeCall } from './fake-provider.ts'

/** Fails before its first event. */
export function failing(): never {
  throw gatewayError('provider_error', 'Upstream provider returned error: scripted')
}

/** Ends in the middle. */
export function* cut(): Generator<StreamEvent> {
  yield* textEvents('one two three').slice(0, 2)
}

/** Says a little, then that it has failed. */
export function* breakingOff(): Generator<StreamEvent> {
  yield* textEvents('one two three').slice(0, 3)
  yield { type: 'error', error: gatewayError('provider_error', 'Upstream provider returned error: scripted') }
}

/** Says a little and then nothing more until it is left. */
export async function* endless({ signal }: FakeCall): AsyncGenerator<StreamEvent> {
  yield* textEvents('one two three').slice(0, 3)
  await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
}
