import type { AttemptRecord, Exchange, JsonObject, Outcome, Purchase, Usage } from '@hadrian/core/plugin'
import { callerOf } from './caller.ts'
import { idOf, text, whole } from './values.ts'

/**
 * One exchange as it is journalled and written: a row of `usage_log_exchanges`, with its caller and its attempts. What is
 * absent or undefined is null there, and costs nothing on the way.
 */
export interface UsageRow extends JsonObject {
  readonly id: string
}

/**
 * The row of an exchange. Nothing of what was asked or answered is in it.
 *
 * @param nowMs `clock.monotonicMs()`
 */
export function rowOf(exchange: Exchange, outcome: Outcome, nowMs: number): UsageRow {
  const { usage, attempts } = outcome
  const caller = callerOf(exchange.principal)
  // A failure has no target that answered; whoever looks for failures wants to know where.
  const target = outcome.target ?? (outcome.status === 'completed' ? undefined : attempts.at(-1)?.target)
  const { requestPlugins } = exchange
  const epochMs = outcome.startedAt - (nowMs - outcome.durationMs)
  return {
    id: idOf(exchange.id),
    started_at: new Date(outcome.startedAt).toISOString(),
    caller_id: caller.id,
    principal_id: caller.principalId,
    principal_name: caller.principalName,
    owners: caller.owners,
    operation: exchange.operation,
    dialect: exchange.dialect,
    requested_model: text(exchange.request.model),
    provider: text(target?.provider),
    model: text(target?.model),
    outcome: outcome.status,
    http_status: outcome.httpStatus,
    error_code: text(outcome.error?.code),
    plugin: text(outcome.plugin),
    plugins: requestPlugins.length > 0 ? requestPlugins : undefined,
    streamed: outcome.streamed,
    attempts: attempts.length,
    ...billOf(usage),
    purchases: purchasesOf(outcome.purchases),
    finish_reason: text(outcome.finishReason),
    duration_ms: whole(outcome.durationMs) ?? 0,
    first_event_ms: whole(outcome.firstEventMs),
    tries: attempts.map((attempt, index) => attemptOf(attempt, index + 1, Math.max(epochMs, 0))),
  }
}

function purchasesOf(purchases: readonly Purchase[]): readonly JsonObject[] | undefined {
  if (purchases.length === 0) return undefined
  return purchases.map(({ item, quantity = 1, costMicros }) => ({
    item: text(item),
    quantity: whole(quantity),
    cost_micros: whole(costMicros),
  }))
}

/** @param epochMs wall-clock time of the moment from which `clock.monotonicMs()` counts */
function attemptOf(attempt: AttemptRecord, number: number, epochMs: number): JsonObject {
  const { target, outcome, error, usage, startedMs, firstEventMs, endedMs } = attempt
  return {
    number,
    started_at: new Date(epochMs + startedMs).toISOString(),
    provider: text(target.provider),
    model: text(target.model),
    outcome,
    http_status: upstreamStatus(error?.details) ?? error?.status,
    error_code: text(error?.code),
    ...billOf(usage),
    duration_ms: endedMs === undefined ? undefined : whole(endedMs - startedMs),
    first_event_ms: firstEventMs === undefined ? undefined : whole(firstEventMs - startedMs),
  }
}

function upstreamStatus(details: Readonly<Record<string, unknown>> | undefined): number | undefined {
  const status = details?.['upstream_status']
  return typeof status === 'number' ? status : undefined
}

const nothing: JsonObject = { estimated: false }

function billOf(usage: Usage | undefined): JsonObject {
  if (!usage) return nothing
  return {
    input_tokens: whole(usage.inputTokens),
    output_tokens: whole(usage.outputTokens),
    cached_tokens: whole(usage.cachedInputTokens),
    cache_write_tokens: whole(usage.cacheWriteTokens),
    reasoning_tokens: whole(usage.reasoningTokens),
    audio_input_tokens: whole(usage.audioInputTokens),
    audio_output_tokens: whole(usage.audioOutputTokens),
    images: whole(usage.images),
    cost_micros: whole(usage.costMicros),
    reported_cost_micros: whole(usage.reportedCostMicros),
    estimated: usage.estimated ?? false,
  }
}
