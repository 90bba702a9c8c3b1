import type { GenerateRequest } from '../contract/canonical.ts'
import type { BillableCall, Target } from '../contract/plugin.ts'
import type { ExchangeState } from './exchange.ts'
import { callHook } from './hooks.ts'
import { imagesOf } from './images.ts'
import { inputTokensCeiling } from './input-ceiling.ts'

/** A billable call of a provider from its reservation on. */
export class PendingCall implements BillableCall {
  readonly #exchange: ExchangeState
  readonly #asked: GenerateRequest
  readonly #targets: readonly Target[] | undefined
  #request: GenerateRequest
  #inputTokens: number | undefined
  #inputTokensCeiling: number | undefined

  /** @param targets default: those of the exchange, whatever becomes of them */
  constructor(exchange: ExchangeState, request: GenerateRequest, targets?: readonly Target[]) {
    this.#exchange = exchange
    this.#asked = exchange.request
    this.#request = request
    this.#targets = targets
  }

  get request(): GenerateRequest {
    return this.#request
  }

  /** The request is not what the client's bytes say. */
  get edited(): boolean {
    return this.#exchange.edited || this.#request !== this.#asked
  }

  /** It is made beside another, which takes long. */
  get hedge(): boolean {
    return this.#targets !== undefined
  }

  get targets(): readonly Target[] {
    return this.#targets ?? this.#exchange.targets
  }

  get inputTokens(): number {
    this.#inputTokens ??= this.#exchange.estimateInputTokens(this.#request)
    return this.#inputTokens
  }

  get inputTokensCeiling(): number {
    this.#inputTokensCeiling ??= inputTokensCeiling(this.#request)
    return this.#inputTokensCeiling
  }

  get images(): number {
    return imagesOf(this.#request)
  }

  get outputTokens(): number | undefined {
    if (this.#request.maxOutputTokens !== undefined) return this.#request.maxOutputTokens
    const ceilings = this.targets.map(({ info }) => info?.maxOutputTokens)
    return ceilings.every((ceiling) => ceiling !== undefined) ? Math.max(...ceilings) : undefined
  }

  clamp(outputTokens: number, reason: string): void {
    const before = this.#request.maxOutputTokens
    if (before !== undefined && before <= outputTokens) return
    this.#request = { ...this.#request, maxOutputTokens: outputTokens }
    this.#exchange.warn({
      code: 'adjusted_value',
      param: 'max_tokens',
      message: `Output is limited to ${outputTokens} tokens: ${reason}`,
    })
  }
}

/**
 * Asks every `reserve` hook for leave. A promise only if one of them returns one.
 *
 * @throws GatewayError of the hook that refuses
 */
export function reserve(exchange: ExchangeState, call: BillableCall): Promise<void> | undefined {
  return reserveFrom(0, exchange, call)
}

function reserveFrom(start: number, exchange: ExchangeState, call: BillableCall): Promise<void> | undefined {
  const steps = exchange.steps('reserve')
  for (let index = start; index < steps.length; index++) {
    const step = steps[index]!
    exchange.throwIfOver()
    const result = callHook(exchange, step, () => step.call(exchange, call))
    if (result instanceof Promise) return result.then(() => reserveFrom(index + 1, exchange, call))
  }
  return undefined
}
