import type { BillableCall, Purchase } from '../contract/plugin.ts'
import type { ExchangeState } from './exchange.ts'
import { callHook } from './hooks.ts'

/** Reserves a purchase, does the work, and charges it: what {@link ExchangeState.buy} does. */
export async function buy<T>(
  exchange: ExchangeState,
  purchase: Purchase,
  work: (bill: (costMicros: number) => void) => Promise<T>,
): Promise<T> {
  const call: BillableCall = {
    request: exchange.request,
    targets: [],
    inputTokens: 0,
    inputTokensCeiling: 0,
    images: 0,
    outputTokens: 0,
    purchase,
    clamp: () => undefined,
  }
  for (const step of exchange.steps('reserve')) {
    exchange.throwIfOver()
    const result = callHook(exchange, step, () => step.call(exchange, call))
    if (result instanceof Promise) await result
  }
  exchange.throwIfOver()
  let billedMicros: number | undefined
  try {
    const result = await work((costMicros) => {
      billedMicros = costMicros
    })
    billedMicros ??= purchase.costMicros
    return result
  } finally {
    if (billedMicros !== undefined) exchange.bought({ ...purchase, costMicros: whole(billedMicros) })
  }
}

function whole(micros: number): number {
  return micros > 0 ? Math.min(Math.ceil(micros), Number.MAX_SAFE_INTEGER) : 0
}
