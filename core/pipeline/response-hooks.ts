import type { FinishEvent, StreamEvent } from '../contract/canonical.ts'
import type { HookName } from '../contract/plugin.ts'
import type { ExchangeState } from './exchange.ts'
import { skipOrThrow, stamp } from './hooks.ts'
import type { Step } from './plan.ts'

/** Events that came in one piece and leave in one piece. */
export type EventBatches = AsyncIterable<readonly StreamEvent[]>

/** Whether any active plugin may change the answer, which ends byte passthrough of it. */
export function hasResponseHooks(exchange: ExchangeState): boolean {
  return responseSteps(exchange, 'event').length > 0 || responseSteps(exchange, 'stream').length > 0
}

/** The steps that are to see the answer of this exchange: the plan's own array, uncopied, if all are. */
function responseSteps<H extends 'event' | 'flush' | 'stream'>(exchange: ExchangeState, hook: H): readonly Step<H>[] {
  const steps = exchange.steps(hook)
  return steps.every((step) => isWanted(exchange, step)) ? steps : steps.filter((step) => isWanted(exchange, step))
}

function isWanted(exchange: ExchangeState, step: Step<HookName>): boolean {
  if (!step.rewrites) return true
  try {
    return step.rewrites(exchange, exchange.paramsOf(step))
  } catch (error) {
    throw stamp(error, step)
  }
}

/**
 * Sends the events of an answer through the response hooks of all active plugins, in reverse order of plugins, those that
 * guard output last. Neighbours with `event` hooks share one synchronous loop; a `stream` hook stands alone between them.
 */
export function applyResponseHooks(exchange: ExchangeState, batches: EventBatches): EventBatches {
  const eventSteps = new Map(responseSteps(exchange, 'event').map((step) => [step.plugin, step]))
  const flushSteps = new Map(responseSteps(exchange, 'flush').map((step) => [step.plugin, step]))
  const streamSteps = new Map(responseSteps(exchange, 'stream').map((step) => [step.plugin, step]))
  let result = batches
  let fused: EventLayer[] = []
  const closeFused = (): void => {
    if (fused.length > 0) result = fusedLayers(exchange, result, fused)
    fused = []
  }
  for (const name of exchange.services.plan.responseOrder) {
    const event = eventSteps.get(name)
    const stream = streamSteps.get(name)
    if (event) fused.push({ event, flush: flushSteps.get(name) })
    if (!stream) continue
    closeFused()
    result = streamLayer(exchange, result, stream)
  }
  closeFused()
  return result
}

interface EventLayer {
  readonly event: Step<'event'>
  readonly flush: Step<'flush'> | undefined
}

/**
 * One loop over all events for a row of `event` hooks. Where one of them may hold text back, the finish of each choice
 * waits until all choices are finished, so that what `flush` releases still comes before it.
 */
async function* fusedLayers(
  exchange: ExchangeState,
  batches: EventBatches,
  layers: readonly EventLayer[],
): EventBatches {
  const holds = layers.some(({ flush }) => flush)
  const expectedFinishes = exchange.request.n ?? 1
  const finishes: FinishEvent[] = []
  let flushed = false

  const through = (event: StreamEvent, from: number, out: StreamEvent[]): void => {
    for (let index = from; index < layers.length; index++) {
      const { event: step } = layers[index]!
      const result = guard(exchange, step, () => checked(step.call(exchange, event, exchange.paramsOf(step))))
      if (result === undefined || result === event) continue
      if (result === null) return
      if (Array.isArray(result)) {
        for (const each of result as readonly StreamEvent[]) through(tidy(event, each), index + 1, out)
        return
      }
      event = tidy(event, result as StreamEvent)
    }
    out.push(event)
  }
  const flush = (out: StreamEvent[]): void => {
    flushed = true
    for (const [index, { flush: step }] of layers.entries()) {
      if (!step) continue
      exchange.ran?.push(`flush ${step.plugin}`)
      for (const event of guard(exchange, step, () => checked(step.call(exchange, exchange.paramsOf(step)))) ?? [])
        through(event, index + 1, out)
    }
    for (const finish of finishes) through(finish, 0, out)
  }

  for (const { event } of layers) exchange.ran?.push(`event ${event.plugin}`)
  try {
    for await (const batch of batches) {
      const out: StreamEvent[] = []
      for (const event of batch) {
        // A hook that changed an event in place would be passed over by byte passthrough one day and not the next.
        Object.freeze(event)
        if (event.type !== 'finish' || !holds || flushed) through(event, 0, out)
        else if (finishes.push(event) === expectedFinishes) flush(out)
      }
      if (out.length > 0) yield out
    }
  } catch (error) {
    // What was held back came from the model and passed the hooks' judgement so far: the client still gets it.
    const out: StreamEvent[] = []
    if (holds && !flushed && !(error as { hook?: string }).hook) flush(out)
    if (out.length > 0) yield out
    throw error
  }
  const out: StreamEvent[] = []
  if (holds && !flushed) flush(out)
  if (out.length > 0) yield out
}

/** Token probabilities spell out the text they belong to: a hook that changes the one must not leak it by the other. */
function tidy(before: StreamEvent, after: StreamEvent): StreamEvent {
  if (after.type !== 'text' || after.logprobs === undefined) return after
  if (before.type === 'text' && before.text === after.text) return after
  const { logprobs: _, ...rest } = after
  return rest
}

/** What a hook returned, if it is what it says: a promise or any other thing would be an event that is lost in silence. */
function checked<T>(returned: T): T {
  if (returned === undefined || returned === null) return returned
  for (const each of Array.isArray(returned) ? (returned as unknown[]) : [returned])
    if (typeof (each as { type?: unknown } | null | undefined)?.type !== 'string')
      throw new TypeError(
        each instanceof Promise
          ? 'returned a promise; this hook must not be async'
          : 'returned something that is no event: return an event, a list of events, null to drop it or nothing to keep it',
      )
  return returned
}

function guard<T>(exchange: ExchangeState, step: Step<HookName>, call: () => T): T | undefined {
  try {
    return call()
  } catch (error) {
    return skipOrThrow(exchange, step, error)
  }
}

async function* streamLayer(exchange: ExchangeState, batches: EventBatches, step: Step<'stream'>): EventBatches {
  exchange.ran?.push(`stream ${step.plugin}`)
  let failureInside: unknown
  const events = (async function* () {
    try {
      for await (const batch of batches) yield* batch
    } catch (error) {
      failureInside = error
      throw error
    }
  })()
  try {
    for await (const event of step.call(exchange, events, exchange.paramsOf(step))) yield [event]
  } catch (error) {
    throw error === failureInside ? error : stamp(error, step)
  }
}
