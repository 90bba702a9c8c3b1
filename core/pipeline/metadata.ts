import type { JsonObject } from '../contract/canonical.ts'
import type { ExchangeState } from './exchange.ts'

/** `hadrian_metadata`: who was asked, who was tried, what ran, what was lost. Shown on request. */
export function metadataOf(exchange: ExchangeState): JsonObject {
  const { clock } = exchange.services
  return {
    exchange: exchange.id,
    requested: [
      ...(exchange.request.model === undefined ? [] : [exchange.request.model]),
      ...(exchange.request.models ?? []),
    ],
    targets: exchange.targets.map(({ name }) => name),
    excluded: exchange.excluded.map(({ target, removedBy }) => ({ target, removed_by: removedBy })),
    attempts: exchange.attempts.map(({ target, outcome, error, startedMs, firstEventMs, endedMs }) => ({
      target: target.name,
      outcome: outcome ?? 'open',
      ...(error && { status: error.status, error: error.code }),
      ...(firstEventMs !== undefined && { first_event_ms: rounded(firstEventMs - startedMs) }),
      duration_ms: rounded((endedMs ?? clock.monotonicMs()) - startedMs),
    })),
    pipeline: (exchange.ran ?? []).map((step) => {
      const [hook, plugin] = step.split(' ')
      return { hook, plugin }
    }),
    warnings: exchange.warnings,
    timings: {
      total_ms: rounded(clock.monotonicMs() - exchange.startedMs),
      ...(exchange.firstEventMs !== undefined && {
        first_event_ms: rounded(exchange.firstEventMs - exchange.startedMs),
      }),
    },
  }
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 100) / 100
}
