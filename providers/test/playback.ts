import { type Clock, type GenerateRequest, type StreamEvent, type Target, upstreamError } from '@hadrian/core/provider'

import { Rounds } from './rounds.ts'
import type { Script } from './script.ts'

/** What an answer is played from. */
export interface Performance {
  readonly request: GenerateRequest
  readonly target: Target
  readonly script: Script
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** Waits, but not past an abort: then it throws the reason of the signal. */
export function delay(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel()
      reject(signal.reason)
    }
    const cancel = clock.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** Plays the answer, piece by piece as it is pulled. An abort ends it with the reason of the signal. */
export async function* play(performance: Performance): AsyncGenerator<StreamEvent, void> {
  const { request, target, script, clock, signal } = performance
  const { provider, model } = target
  signal.throwIfAborted()
  if (script.hangs) await aborted(signal)
  if (script.isMalformed) {
    const message = 'the answer is not what it should be'
    yield { type: 'error', error: upstreamError(provider, { status: 502, code: 'invalid_response', message }) }
    return
  }
  yield { type: 'start', model }
  for (const tool of request.tools ?? []) {
    if (tool.type === 'function') continue
    const message = `a tool of type ${String(tool.value['type'])} was left out: only functions are called`
    yield { type: 'warning', warning: { code: 'unsupported_parameter', message, param: 'tools' } }
  }
  const rounds = new Rounds(request, script)
  let count = 0
  for (const piece of rounds.pieces()) {
    if (count === script.cutAfter || count === script.errorAfter) break
    if (count > 0 && script.paceMs > 0) await delay(clock, script.paceMs, signal)
    signal.throwIfAborted()
    count++
    yield piece
  }
  if (script.cutAfter !== undefined) return
  if (script.errorAfter !== undefined) {
    const message = `failed after ${count} pieces, as the model name asks`
    yield { type: 'error', error: upstreamError(provider, { status: 500, code: 'scripted_error', message }) }
    return
  }
  if (!script.hidesUsage) yield { type: 'usage', usage: rounds.usage() }
  yield* rounds.finishes()
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}
