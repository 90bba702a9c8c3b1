import type { JsonObject, Row } from '@hadrian/core/plugin'
import { sumColumns } from './columns.ts'

/** SQL: the columns of a summary, summed up over rollups or over other summaries. */
export const summarySql = `${sumColumns.map((name) => `coalesce(sum(${name}), 0) as ${name}`).join(', ')},
  min(first_at) as first_at, max(last_at) as last_at`

/** A summary as the admin API shows it. */
export function summaryBody(row: Row): JsonObject {
  const sum = (name: (typeof sumColumns)[number]): number => Number(row[name] ?? 0)
  return {
    total_cost: sum('cost_micros') / 1_000_000,
    cost_micros: sum('cost_micros'),
    reported_cost_micros: sum('reported_cost_micros'),
    input_tokens: sum('input_tokens'),
    output_tokens: sum('output_tokens'),
    total_tokens: sum('input_tokens') + sum('output_tokens'),
    cached_tokens: sum('cached_tokens'),
    cache_write_tokens: sum('cache_write_tokens'),
    reasoning_tokens: sum('reasoning_tokens'),
    audio_input_tokens: sum('audio_input_tokens'),
    audio_output_tokens: sum('audio_output_tokens'),
    image_count: sum('images'),
    request_count: sum('requests'),
    completed_count: sum('completed'),
    refused_count: sum('refused'),
    failed_count: sum('failed'),
    aborted_count: sum('aborted'),
    estimated_count: sum('estimated'),
    call_count: sum('calls'),
    unpriced_call_count: sum('unpriced'),
    average_latency_ms: mean(sum('duration_ms'), sum('completed')),
    average_first_event_ms: mean(sum('first_event_ms'), sum('first_events')),
    first_request_at: row['first_at'] ?? null,
    last_request_at: row['last_at'] ?? null,
  }
}

function mean(total: number, count: number): number | null {
  return count > 0 ? Math.round((total / count) * 10) / 10 : null
}
