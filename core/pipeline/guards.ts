import type { GenerateRequest } from '../contract/canonical.ts'
import type { Reply } from '../contract/plugin.ts'
import type { ExchangeState } from './exchange.ts'
import { callHook } from './hooks.ts'
import type { Plan, Step } from './plan.ts'
import type { ActivePlugins } from './request-plugins.ts'

/** Whether some plugin that takes part in a request guards its prompts. */
export function isGuarded(plan: Plan, active: ActivePlugins): boolean {
  if (plan.guardsInput) return true
  for (const id of active.keys()) if (plan.inputGuards.has(id)) return true
  return false
}

/** Notes what a guardrail has judged, so that {@link judgeAgain} can tell what it has not. Call it after each `transform`. */
export function noteJudged(exchange: ExchangeState, step: Step<'transform'>): void {
  if (exchange.services.plan.inputGuards.has(step.plugin)) exchange.judged.set(step.plugin, exchange.request)
}

/**
 * Has the guardrails judge the request again that have not seen it as it is now: a plugin after them has put something in,
 * search results or the text of a file. Synchronous where nothing has to be judged.
 */
export function judgeAgain(exchange: ExchangeState): Promise<Reply | undefined> | undefined {
  if (exchange.services.plan.inputGuards.size === 0) return undefined
  const stale = exchange
    .steps('transform')
    .filter((step) => exchange.services.plan.inputGuards.has(step.plugin) && isStale(exchange, step))
  return stale.length === 0 ? undefined : judgeWith(exchange, stale)
}

async function judgeWith(exchange: ExchangeState, steps: readonly Step<'transform'>[]): Promise<Reply | undefined> {
  for (const step of steps) {
    if (!isStale(exchange, step)) continue
    const result = callHook(exchange, step, () => step.call(exchange, exchange.paramsOf(step) as never))
    const reply = result instanceof Promise ? await result : result
    if (reply) {
      exchange.answeredBy = step.plugin
      return reply
    }
    noteJudged(exchange, step)
    exchange.cancellation.throwIfAborted()
  }
  return undefined
}

function isStale(exchange: ExchangeState, step: Step<'transform'>): boolean {
  const seen = exchange.judged.get(step.plugin)
  return !seen || !hasSamePrompts(seen, exchange.request)
}

/** Whether two requests are the same to a guardrail: only other settings were changed, by copying what holds prompts. */
function hasSamePrompts(left: GenerateRequest, right: GenerateRequest): boolean {
  return (
    left.messages === right.messages &&
    left.tools === right.tools &&
    left.extra === right.extra &&
    left.responseFormat === right.responseFormat &&
    left.toolChoice === right.toolChoice &&
    left.webSearch === right.webSearch
  )
}

/**
 * Has the guardrails judge a request that is not the exchange's own, as far as they have not seen it: a further turn with
 * the results of tools, or what a provider is about to be sent. Undefined if nothing guards prompts, or all have seen it.
 *
 * @returns the request as they leave it, or the answer that one of them gave
 */
export function judgeTurn(
  exchange: ExchangeState,
  request: GenerateRequest,
): Promise<{ readonly request: GenerateRequest; readonly reply: Reply | undefined }> | undefined {
  if (exchange.services.plan.inputGuards.size === 0 || hasSamePrompts(request, exchange.request)) return undefined
  // Hooks see the one request of their exchange, so turns that run side by side are judged one after the other.
  const judged = exchange.judging.then(async () => {
    const own = exchange.swap(request)
    try {
      const reply = await judgeAgain(exchange)
      return { request: exchange.request, reply }
    } finally {
      exchange.swap(own)
    }
  })
  exchange.judging = judged.catch(() => undefined)
  return judged
}
