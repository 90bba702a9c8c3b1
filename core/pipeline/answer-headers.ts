import type { Usage } from '../contract/canonical.ts'
import type { ExchangeState } from './exchange.ts'

/** Headers every answer of a model carries. `Server-Timing` tells the gateway's own share from the upstream's. */
export function answerHeaders(exchange: ExchangeState): Record<string, string> {
  const { clock } = exchange.services
  const attempt = exchange.answering ?? exchange.attempts.at(-1)
  const upstreamMs = upstreamTime(exchange, clock.monotonicMs())
  const gatewayMs = clock.monotonicMs() - exchange.startedMs - upstreamMs
  const headers: Record<string, string> = {
    'x-hadrian-attempts': String(exchange.attempts.length),
    'server-timing': `gateway;dur=${Math.max(0, gatewayMs).toFixed(2)}, upstream;dur=${upstreamMs.toFixed(2)}`,
  }
  if (attempt) {
    headers['x-provider'] = attempt.target.provider
    headers['x-model'] = headerText(attempt.target.model)
  }
  return headers
}

/** Milliseconds for which some attempt was waited for; those that ran side by side count once. */
function upstreamTime({ attempts, request }: ExchangeState, nowMs: number): number {
  let sumMs = 0
  let untilMs = -Infinity
  for (const { startedMs, firstEventMs, endedMs } of attempts) {
    const endMs = (request.stream ? (firstEventMs ?? endedMs) : endedMs) ?? nowMs
    sumMs += Math.max(0, endMs - Math.max(startedMs, untilMs))
    untilMs = Math.max(untilMs, endMs)
  }
  return sumMs
}

/** Headers of an answer whose tokens are known when it goes out. */
export function usageHeaders(usage: Usage | undefined): Record<string, string> {
  if (!usage) return {}
  const costMicros = usage.costMicros ?? usage.reportedCostMicros
  return {
    'x-input-tokens': String(usage.inputTokens),
    'x-output-tokens': String(usage.outputTokens),
    ...(costMicros !== undefined && { 'x-cost-micros': String(costMicros) }),
  }
}

/** Model names come from clients: whatever a header cannot carry is percent-encoded. */
function headerText(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : encodeURIComponent(text.toWellFormed())
}
