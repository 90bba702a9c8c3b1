import { askedAnswers } from '@hadrian/core/plugin'
import type { BillableCall, Catalog, Purchase, Target } from '@hadrian/core/plugin'
import type { Quote } from './engine.ts'

export interface ReservationOptions {
  readonly minimumOutputTokens: number
  /** For calls without any known ceiling, which are held to it. */
  readonly assumedOutputTokens: number
  /** Which count of the input is reserved: one that no tokenizer exceeds, or an estimate. */
  readonly input: 'ceiling' | 'estimate'
}

/** A purchase costs what it says, or is refused. */
export function purchaseQuote({ costMicros }: Purchase): Quote {
  return { worstMicros: Math.min(Math.ceil(Math.max(0, costMicros)), Number.MAX_SAFE_INTEGER), fit: () => undefined }
}

/** What an answer of the completions API has at most if the request does not say it: that API's own default. */
const completionTokens = 16
/**
 * The worst case of a call: all of its input and its whole output ceiling, for each answer that is asked for, at the
 * dearest of its targets. A target without a price counts for nothing: what becomes of those is for `pricing` to say.
 */
export class CallQuote implements Quote {
  readonly worstMicros: number
  readonly #call: BillableCall
  readonly #catalog: Pick<Catalog, 'priceCeiling'>
  readonly #options: ReservationOptions
  readonly #inputTokens: number
  readonly #ceiling: number
  readonly #answers: number

  /** Holds the call to the assumed ceiling where none is known. */
  constructor(call: BillableCall, catalog: Pick<Catalog, 'priceCeiling'>, options: ReservationOptions) {
    const { request } = call
    this.#call = call
    this.#catalog = catalog
    this.#options = options
    this.#answers = askedAnswers(request)
    this.#inputTokens = options.input === 'ceiling' ? call.inputTokensCeiling : call.inputTokens
    this.#ceiling = this.#knownCeiling()
    this.worstMicros = this.#cost(this.#ceiling)
  }

  /** Lowers the output ceiling of the call to what the money pays for. */
  fit(availableMicros: number): number | undefined {
    const least = Math.min(this.#options.minimumOutputTokens, this.#ceiling)
    const leastMicros = this.#cost(least)
    if (leastMicros > availableMicros) return undefined
    let fits = least
    let fitsMicros = leastMicros
    for (let tooMany = this.#ceiling + 1; tooMany - fits > 1;) {
      const middle = Math.floor((fits + tooMany) / 2)
      const micros = this.#cost(middle)
      if (micros <= availableMicros) {
        fits = middle
        fitsMicros = micros
      } else tooMany = middle
    }
    if (fits < this.#ceiling) this.#call.clamp(fits, 'the budget has no more left')
    return fitsMicros
  }

  /** Output tokens of one answer. */
  #knownCeiling(): number {
    const { request, outputTokens } = this.#call
    if (request.operation === 'embeddings') return 0
    if (outputTokens !== undefined) return outputTokens
    const assumed =
      request.operation === 'completions'
        ? Math.min(completionTokens, this.#options.assumedOutputTokens)
        : this.#options.assumedOutputTokens
    // Only where there is something to keep within bounds.
    if (this.#call.targets.some((target) => this.#price(target, 1) !== undefined))
      this.#call.clamp(assumed, 'the gateway needs a bound on what the call may cost')
    return assumed
  }

  #cost(outputTokens: number): number {
    let dearest = 0
    for (const target of this.#call.targets) dearest = Math.max(dearest, this.#price(target, outputTokens) ?? 0)
    return Math.min(Math.ceil(dearest), Number.MAX_SAFE_INTEGER)
  }

  #price(target: Target, outputTokens: number): number | undefined {
    return this.#catalog.priceCeiling(target, {
      inputTokens: this.#inputTokens,
      outputTokens: outputTokens * this.#answers,
      images: this.#call.images,
    })
  }
}
