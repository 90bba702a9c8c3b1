import { hash } from 'node:crypto'
import type { AttemptRecord, Exchange, Outcome, Row, Usage } from '@hadrian/core/plugin'

/** A row of `usage_log_exchanges`, as it is written. */
export interface UsageRow extends Row {
  readonly id: string
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
/** Longest text kept: the model's name is the client's own words. */
const longestText = 256

/** The row of an exchange. Nothing of what was asked or answered is in it. */
export function rowOf(exchange: Exchange, outcome: Outcome): UsageRow {
  const { usage } = outcome
  // A failure has no target that answered; whoever looks for failures wants to know where.
  const target = outcome.target ?? (outcome.status === 'completed' ? undefined : outcome.attempts.at(-1)?.target)
  return {
    id: idOf(exchange.id),
    started_at: new Date(outcome.startedAt),
    principal_id: text(exchange.principal.id) ?? '',
    operation: exchange.operation,
    dialect: exchange.dialect,
    requested_model: text(exchange.request.model),
    provider: text(target?.provider),
    model: text(target?.model),
    outcome: outcome.status,
    http_status: outcome.httpStatus,
    error_code: text(outcome.error?.code),
    plugin: text(outcome.plugin),
    streamed: outcome.streamed,
    attempts: outcome.attempts.length,
    ...tokensOf(usage),
    cost_micros: whole(usage?.costMicros),
    estimated: usage?.estimated ?? false,
    finish_reason: text(outcome.finishReason),
    duration_ms: whole(outcome.durationMs) ?? 0,
    first_event_ms: whole(outcome.firstEventMs),
    attempt_records: outcome.attempts.map(attemptOf),
  }
}

function attemptOf({ target, outcome, error, usage, startedMs, firstEventMs, endedMs }: AttemptRecord): object {
  return {
    target: text(target.name),
    outcome: outcome ?? null,
    status: upstreamStatus(error?.details) ?? error?.status ?? null,
    error_code: text(error?.code),
    tokens: usage ? tokensOf(usage) : null,
    cost_micros: whole(usage?.costMicros),
    ms: endedMs === undefined ? null : whole(endedMs - startedMs),
    first_event_ms: firstEventMs === undefined ? null : whole(firstEventMs - startedMs),
  }
}

function upstreamStatus(details: Readonly<Record<string, unknown>> | undefined): number | undefined {
  const status = details?.['upstream_status']
  return typeof status === 'number' ? status : undefined
}

function tokensOf(usage: Usage | undefined): Readonly<Record<string, number | null>> {
  return {
    input_tokens: whole(usage?.inputTokens),
    output_tokens: whole(usage?.outputTokens),
    cached_tokens: whole(usage?.cachedInputTokens),
    cache_write_tokens: whole(usage?.cacheWriteTokens),
    reasoning_tokens: whole(usage?.reasoningTokens),
  }
}

/** Whoever runs an exchange may have named it otherwise; the same name must be the same row. */
function idOf(id: string): string {
  if (uuid.test(id)) return id
  return hash('sha256', id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
}

/** What PostgreSQL takes as text: without NUL, and no half of a surrogate pair. */
function text(value: string | undefined): string | null {
  return value === undefined ? null : value.slice(0, longestText).replaceAll('\0', '').toWellFormed()
}

/** What PostgreSQL takes as `bigint`, whatever an upstream says. */
function whole(value: number | undefined): number | null {
  if (value === undefined || !Number.isFinite(value)) return null
  return Math.min(Math.max(Math.round(value), 0), Number.MAX_SAFE_INTEGER)
}
