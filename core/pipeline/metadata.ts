import type { JsonObject } from '../contract/canonical.ts'
import type { AttemptRecord } from '../contract/plugin.ts'
import type { ExchangeState } from './exchange.ts'

/** `hadrian_metadata`: who was asked, who was tried, what ran, what was lost. Shown on request. */
export function metadataOf(exchange: ExchangeState): JsonObject {
  const { clock } = exchange.services
  return {
    exchange: exchange.id,
    ...routingOf(exchange),
    attempts: triesOf(exchange).map(({ target, outcome, error, hedge, startedMs, firstEventMs, endedMs, refused }) => ({
      target: target.name,
      outcome: refused ? 'refused' : (outcome ?? 'open'),
      ...(hedge && { hedge }),
      ...(error && { status: error.status, error: error.code }),
      ...(firstEventMs !== undefined && { first_event_ms: rounded(firstEventMs - startedMs) }),
      duration_ms: rounded((endedMs ?? clock.monotonicMs()) - startedMs),
    })),
    pipeline: (exchange.ran ?? []).map((step) => {
      const [hook, plugin] = step.split(' ')
      return { hook, plugin }
    }),
    ...(exchange.purchases.length > 0 && {
      purchases: exchange.purchases.map(({ item, quantity = 1, costMicros }) => ({
        item,
        quantity,
        cost_micros: costMicros,
      })),
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

/** The names that were asked for, the targets in order, and what took others off the list. */
export function routingOf({ request, targets, excluded }: ExchangeState): JsonObject {
  return {
    requested: [...(request.model === undefined ? [] : [request.model]), ...(request.models ?? [])],
    targets: targets.map(({ name }) => name),
    excluded: excluded.map(({ target, removedBy }) => ({ target, removed_by: removedBy })),
  }
}

/** The attempts, and those that were refused before they reached a provider, in the order of their beginning. */
function triesOf({ attempts, refusals }: ExchangeState): (AttemptRecord & { readonly refused?: true })[] {
  if (refusals.length === 0) return attempts
  return [...refusals.map((record) => ({ ...record, refused: true as const })), ...attempts].toSorted(
    (left, right) => left.startedMs - right.startedMs,
  )
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 100) / 100
}
