import { askedAnswers } from '../contract/asked-answers.ts'
import type { JsonObject } from '../contract/canonical.ts'
import { asGatewayError, gatewayError } from '../contract/errors.ts'
import type { HookName, Target } from '../contract/plugin.ts'
import { hookNames } from '../contract/plugin.ts'
import { pricesBody } from '../contract/prices.ts'
import { noMetrics } from '../services/telemetry-metrics.ts'
import { noSpans } from '../services/telemetry-spans.ts'
import { expandCandidates } from './candidates.ts'
import { requireTargets } from './dispatch.ts'
import type { ExchangeState } from './exchange.ts'
import { callHook } from './hooks.ts'
import { routingOf } from './metadata.ts'
import { PendingCall } from './pending-call.ts'
import type { ReadyPlugin } from './plan.ts'
import type { PipelineServices } from './services.ts'

/** Hooks that only decide; all others take, count, send or change something. */
const decidingHooks = ['authorize', 'route'] as const satisfies readonly HookName[]
/** Hooks that run before there is an exchange. */
const earlyHooks: ReadonlySet<HookName> = new Set(['receive', 'authenticate'])

/** The services for exchanges that are only explained: they show in no metric and no trace. */
export function unmeasured(services: PipelineServices): PipelineServices {
  return { ...services, telemetry: { ...services.telemetry, ...noSpans, ...noMetrics } }
}

/**
 * Says what would become of an exchange that was just opened and must not go on afterwards. Runs the hooks that decide
 * about access and targets, then the `explain` hooks; what plugins would change about the request later is not in it.
 *
 * @throws GatewayError what the exchange would be refused with before a provider is called
 */
export async function explain(exchange: ExchangeState): Promise<JsonObject> {
  const candidates = expandCandidates(exchange.request, exchange.principal, exchange.services)
  exchange.begin(candidates)
  // Nothing can be bought from here on.
  exchange.end(gatewayError('request_cancelled', 'The exchange is only explained'))
  const answer = await decide(exchange)
  if (!answer) requireTargets(exchange)
  const plugins = await explanationsOf(exchange)
  return {
    object: 'explanation',
    dialect: exchange.dialect,
    ...routingOf(exchange),
    ...(answer && { answered_by: answer }),
    estimated_input_tokens: exchange.estimateInputTokens(),
    estimates: exchange.targets.map((target) => estimateOf(exchange, target)),
    pipeline: hookNames
      .filter((hook) => !earlyHooks.has(hook))
      .flatMap((hook) => exchange.steps(hook).map(({ plugin }) => ({ hook, plugin }))),
    request_plugins: requestPluginsOf(exchange, candidates.online),
    plugins,
    warnings: exchange.warnings,
  }
}

/** Runs the hooks that decide. Returns the plugin that answers in place of a model, and its status, if one does. */
async function decide(exchange: ExchangeState): Promise<JsonObject | undefined> {
  for (const hook of decidingHooks)
    for (const step of exchange.steps(hook)) {
      const reply = await callHook(exchange, step, () => step.call(exchange, exchange.paramsOf(step) as never))
      exchange.cancellation.throwIfAborted()
      if (reply) return { plugin: step.plugin, hook, status: reply.status }
    }
  return undefined
}

/** What a call of a target is estimated to cost, and what of the request would not reach it. */
function estimateOf(exchange: ExchangeState, target: Target): JsonObject {
  const { catalog } = exchange.services
  const { request } = exchange
  const call = new PendingCall(exchange, request, [target])
  const { inputTokens, inputTokensCeiling, images } = call
  const outputTokens = request.operation === 'embeddings' ? 0 : call.outputTokens
  const prices = catalog.prices(target)
  const inputMicros = catalog.price(target, { inputTokens, outputTokens: 0, images })
  const worstMicros =
    outputTokens === undefined
      ? undefined
      : catalog.priceCeiling(target, {
          inputTokens: inputTokensCeiling,
          outputTokens: outputTokens * askedAnswers(request),
          images,
        })
  return {
    target: target.name,
    requested: target.requested,
    provider: target.provider,
    model: target.model,
    ...(outputTokens !== undefined && { max_output_tokens: outputTokens }),
    ...(prices && { pricing: pricesBody(prices) }),
    ...(inputMicros !== undefined && { input_cost: inputMicros / 1e6, input_cost_micros: inputMicros }),
    ...(worstMicros !== undefined && { worst_cost: worstMicros / 1e6, worst_cost_micros: worstMicros }),
    losses: exchange.losses(target),
  }
}

/** The plugins with params that take part, and why. */
function requestPluginsOf({ active, request, services }: ExchangeState, online: boolean): JsonObject[] {
  return [...active.keys()].map((id) => {
    if (request.plugins?.some((entry) => entry.id === id)) return { id, reason: 'requested' }
    if (services.plan.requestables.get(id)?.settings.apply === 'always') return { id, reason: 'always' }
    return { id, reason: online && id === 'web' ? 'model_suffix' : 'implied' }
  })
}

/** What plugins say by their `explain` hooks, by name, in order. One that fails has an `error` in place of it. */
async function explanationsOf(exchange: ExchangeState): Promise<JsonObject> {
  const said: [plugin: string, said: JsonObject][] = []
  for (const plugin of exchange.services.plan.plugins) {
    const { hooks, definition } = plugin
    if (!hooks.explain || (definition.params && !exchange.active.has(definition.name))) continue
    try {
      const explanation = await explanationOf(exchange, plugin)
      if (explanation) said.push([definition.name, explanation])
    } catch (error) {
      exchange.cancellation.throwIfAborted()
      const failure = asGatewayError(error)
      said.push([definition.name, { error: failure.message }])
      if (failure.status >= 500)
        exchange.services.logger.warn({ plugin: definition.name, hook: 'explain', error: failure }, 'plugin failed')
    }
  }
  return Object.fromEntries(said)
}

function explanationOf(
  exchange: ExchangeState,
  { definition: { name }, settings, hooks }: ReadyPlugin,
): JsonObject | void | Promise<JsonObject | void> {
  // Closed whatever the plugin's policy is: a failure is to be shown.
  const step = { plugin: name, hook: 'explain', timeoutMs: settings.timeoutMs, failure: 'closed' } as const
  const requestable = exchange.services.plan.requestables.get(name)
  const params = exchange.paramsOf({ requestable })
  return callHook(exchange, step, () => hooks.explain?.(exchange, params))
}
