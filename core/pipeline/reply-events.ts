import type { StreamEvent } from '../contract/canonical.ts'
import type { Reply } from '../contract/plugin.ts'
import type { ReplyContext, ReplyEnd } from '../dialects/dialect.ts'
import type { ExchangeState } from './exchange.ts'
import { mapped } from './mapped.ts'
import { metadataOf } from './metadata.ts'
import { ProviderReply } from './provider-reply.ts'
import type { EventBatches } from './response-hooks.ts'
import { applyResponseHooks, hasResponseHooks } from './response-hooks.ts'

/** The events of a reply as the client gets them: through the response hooks, seen by `observe`. */
export function clientEvents(exchange: ExchangeState, reply: Reply): EventBatches {
  const batches = batchesOf(reply)
  return watched(exchange, hasResponseHooks(exchange) ? applyResponseHooks(exchange, batches) : batches)
}

/** The events of a reply, in the pieces they came in where that is known. */
function batchesOf(reply: Reply): EventBatches {
  if (!(reply instanceof ProviderReply)) return mapped(reply.events!, (event) => [event])
  return mapped(reply.batches, (batch) =>
    batch.length === 1 ? batch[0]!.events : batch.flatMap(({ events }) => events),
  )
}

/** Shows `observe` hooks what the client gets, keeps the finish reason, and turns an error event of a plugin into a throw. */
function watched(exchange: ExchangeState, batches: EventBatches): EventBatches {
  const observers = exchange.steps('observe')
  return mapped(batches, (batch) => {
    for (const event of batch) {
      if (event.type === 'finish') exchange.finishReason = event.reason
      if (event.type === 'usage') exchange.shownUsage = event.usage
      if (event.type === 'error') throw event.error
    }
    if (observers.length > 0) observe(exchange, batch)
    exchange.firstEventMs ??= exchange.services.clock.monotonicMs()
    return batch
  })
}

/** Shows events to the `observe` hooks; their failures are logged and change nothing. */
export function observe(exchange: ExchangeState, events: readonly StreamEvent[]): void {
  for (const step of exchange.steps('observe'))
    for (const event of events)
      try {
        step.call(exchange, event)
      } catch (error) {
        exchange.services.logger.error(
          { exchange: exchange.id, plugin: step.plugin, hook: 'observe', error },
          'observer failed',
        )
      }
}

/** What the dialect needs to know to write the answer. */
export function contextOf(exchange: ExchangeState): ReplyContext {
  const { target } = exchange.answering ?? exchange.attempts.at(-1) ?? {}
  return {
    exchangeId: exchange.id,
    request: exchange.request,
    body: exchange.body,
    model: target?.model ?? exchange.request.model ?? '',
    created: Math.floor(exchange.startedAt / 1000),
  }
}

/** What the end of the answer says. */
export function endOf(exchange: ExchangeState): ReplyEnd {
  return {
    usage: exchange.usage ?? exchange.shownUsage,
    completedAt: Math.floor(exchange.services.clock.now() / 1000),
    ...(exchange.ran && { metadata: metadataOf(exchange) }),
  }
}
