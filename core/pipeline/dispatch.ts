import type { GenerateRequest } from '../contract/canonical.ts'
import type { Dispatch, Reply } from '../contract/plugin.ts'
import { mayUse } from '../services/access.ts'
import { noTarget } from './candidates.ts'
import { mergeChoices } from './choices.ts'
import type { ExchangeState } from './exchange.ts'
import { judgeTurn } from './guards.ts'
import { callAround } from './hooks.ts'
import { PendingCall, reserve } from './pending-call.ts'
import { tryTargets } from './try-targets.ts'

/** Runs the `dispatch` hooks around the call of a provider. */
export function dispatch(exchange: ExchangeState): Promise<Reply> {
  const steps = exchange.steps('dispatch')
  if (steps.length === 0) return callProvider(exchange, exchange.request)
  const layer =
    (index: number, inherited: GenerateRequest | undefined): Dispatch =>
    (request = inherited) => {
      const step = steps[index]
      if (!step) return callProvider(exchange, request ?? exchange.request)
      return callAround(exchange, step, layer(index + 1, request), async (next) => {
        let calledNext = false
        const reply = await step.call(exchange, (changed) => {
          calledNext = true
          return next(changed)
        })
        if (!calledNext) exchange.answeredBy = step.plugin
        return reply
      })
    }
  return layer(0, undefined)()
}

/** Calls a provider with a request that the guardrails of prompts have seen, or now see. */
function callProvider(exchange: ExchangeState, request: GenerateRequest): Promise<Reply> {
  const judged = judgeTurn(exchange, request)
  return judged
    ? judged.then(({ request: seen, reply }) => reply ?? callChoices(exchange, seen))
    : callChoices(exchange, request)
}

/** Calls a provider: once, or once for each choice where a target gives one answer per call. */
function callChoices(exchange: ExchangeState, request: GenerateRequest): Promise<Reply> {
  const { providers } = exchange.services
  const choices = request.n ?? 1
  if (choices === 1 || exchange.targets.every(({ provider }) => providers.get(provider)?.provider.capabilities.choices))
    return callOnce(exchange, request)
  return callForEach(exchange, request, choices)
}

async function callForEach(exchange: ExchangeState, request: GenerateRequest, choices: number): Promise<Reply> {
  const { n: _, ...single } = request
  const calls = await Promise.allSettled(Array.from({ length: choices }, () => callOnce(exchange, single)))
  const failed = calls.find((call) => call.status === 'rejected')
  // Answers that have begun are left by settling the exchange, which closes their attempts.
  if (failed) throw failed.reason
  return mergeChoices(calls.flatMap((call) => (call.status === 'fulfilled' ? [call.value] : [])))
}

/** One billable call: reserves it, then tries targets until one answers. */
async function callOnce(exchange: ExchangeState, request: GenerateRequest): Promise<Reply> {
  requireTargets(exchange)
  const call = new PendingCall(exchange, request)
  const reserving = reserve(exchange, call)
  if (reserving) await reserving
  requireTargets(exchange)
  return tryTargets(exchange, call)
}

/**
 * Checks the targets once more, since a hook may have put in any.
 *
 * @throws GatewayError `routing_error` if none is left
 */
export function requireTargets(exchange: ExchangeState): void {
  for (const target of exchange.targets) {
    const serves = exchange.services.providers
      .get(target.provider)
      ?.provider.capabilities.operations.includes(exchange.operation)
    if (!serves) exchange.exclude(target, 'operation')
    else if (!mayUse(exchange.principal, target)) exchange.exclude(target, 'access')
  }
  if (exchange.targets.length === 0) throw noTarget(exchange)
}
