import { askedAnswers, stateKey } from '@hadrian/core/plugin'
import type { BillableCall, Clock, Exchange, Outcome, Services, Target } from '@hadrian/core/plugin'
import { isRefused } from './demand.ts'
import type { Demand, Refused, Taken } from './demand.ts'
import type { Engine } from './engine.ts'
import { requestHeaders, tokenHeaders } from './headers.ts'
import { refusalOf } from './refusal.ts'
import type { ModelRule, Subjects } from './subjects.ts'

export interface LimiterOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly subjects: Subjects
  readonly models: readonly ModelRule[]
  /** Output tokens to reserve where the client names no ceiling. */
  readonly estimatedOutputTokens: number
  /** Counts refusals. */
  readonly refusals: ReturnType<Services['meter']['createCounter']>
}

/** What one exchange has taken. */
interface Record {
  requests: Taken | undefined
  /** One for each call that could be billed. */
  readonly tokens: Taken[]
  /** It has ended: whatever is granted from now on goes back. */
  settled: boolean
}

const recordKey = stateKey<Record>('rate-limit.record')
const none: readonly Demand[] = []
/** No call uses more tokens; thousands of such numbers still add up within a `bigint`. */
const mostTokens = 1e12

/** Holds exchanges to the limits of their callers and models. */
export class Limiter {
  readonly #engine: Engine
  readonly #clock: Clock
  readonly #subjects: Subjects
  readonly #models: readonly ModelRule[]
  readonly #estimatedOutputTokens: number
  readonly #refusals: LimiterOptions['refusals']

  constructor(options: LimiterOptions) {
    this.#engine = options.engine
    this.#clock = options.clock
    this.#subjects = options.subjects
    this.#models = options.models
    this.#estimatedOutputTokens = options.estimatedOutputTokens
    this.#refusals = options.refusals
  }

  /** Counts a request, and takes its slots. Returns nothing, and no promise, where everything is in stock. */
  admit(exchange: Exchange): Promise<void> | undefined {
    const demands = this.#demands('requests', this.#subjects.of(exchange.principal).requests, exchange.targets)
    if (demands.length === 0) return undefined
    const result = this.#engine.take(demands, 1)
    if (result instanceof Promise) {
      const record = this.#recordOf(exchange)
      return result.then((later) => this.#admitted(exchange, record, demands, later))
    }
    return this.#admitted(exchange, this.#recordOf(exchange), demands, result)
  }

  #admitted(
    exchange: Exchange,
    record: Record,
    demands: readonly Demand[],
    result: Taken | Refused,
  ): Promise<void> | undefined {
    if (isRefused(result)) {
      if (this.#passOn(exchange, result)) return this.admit(exchange)
      const nowMs = this.#clock.monotonicMs()
      requestHeaders(exchange, result.demand?.kind ? [result.demand] : demands, nowMs)
      tokenHeaders(
        exchange,
        this.#demands('tokens', this.#subjects.of(exchange.principal).tokens, exchange.targets),
        nowMs,
      )
      throw this.#refuse(result)
    }
    if (record.settled) this.#engine.giveBack(result)
    else {
      record.requests = result
      requestHeaders(exchange, demands, this.#clock.monotonicMs())
    }
    return undefined
  }

  /** Reserves the tokens that a call may use; a purchase uses none. */
  reserve(exchange: Exchange, call: BillableCall): Promise<void> | undefined {
    if (call.purchase) return undefined
    const demands = this.#demands('tokens', this.#subjects.of(exchange.principal).tokens, call.targets)
    if (demands.length === 0) return undefined
    const units = this.#reservation(exchange, call, demands)
    const result = this.#engine.take(demands, units)
    const record = this.#recordOf(exchange)
    if (result instanceof Promise) return result.then((later) => this.#reserved(exchange, call, record, demands, later))
    return this.#reserved(exchange, call, record, demands, result)
  }

  #reserved(
    exchange: Exchange,
    call: BillableCall,
    record: Record,
    demands: readonly Demand[],
    result: Taken | Refused,
  ): Promise<void> | undefined {
    const nowMs = this.#clock.monotonicMs()
    if (isRefused(result)) {
      if (this.#passOn(exchange, result)) return this.reserve(exchange, call)
      tokenHeaders(exchange, demands, nowMs)
      throw this.#refuse(result)
    }
    if (record.settled) this.#engine.giveBack(result)
    else {
      record.tokens.push(result)
      tokenHeaders(exchange, demands, nowMs)
    }
    return undefined
  }

  /** Settles what was taken with what was used. A refusal, of whomever, costs nothing. */
  settle(exchange: Exchange, outcome: Outcome): void {
    const record = exchange.get(recordKey)
    if (!record) return
    record.settled = true
    const { requests, tokens } = record
    if (outcome.status === 'refused') {
      if (requests) this.#engine.giveBack(requests)
      for (const taken of tokens) this.#engine.giveBack(taken)
      return
    }
    if (requests) {
      this.#engine.releaseSlots(requests)
      if (this.#models.length > 0) this.#giveBackUntried(requests, outcome)
    }
    let used = outcome.usage ? wholeTokens(outcome.usage.inputTokens + outcome.usage.outputTokens) : 0
    for (const [index, taken] of tokens.entries()) {
      // What the calls have used together is spread over what was reserved for each.
      const share = index === tokens.length - 1 ? used : Math.min(used, taken.units)
      used -= share
      this.#engine.settle(taken, share)
    }
  }

  /** Every limit that the exchange is under as it is now. */
  limitsOf({ principal, targets }: Exchange): readonly Demand[] {
    const { requests, tokens } = this.#subjects.of(principal)
    return [...this.#demands('requests', requests, targets), ...this.#demands('tokens', tokens, targets)]
  }

  /** The limits of a caller, and of the models it may get to. */
  #demands(unit: 'requests' | 'tokens', own: readonly Demand[], targets: readonly Target[]): readonly Demand[] {
    if (this.#models.length === 0) return own
    const ofModels = this.#models.flatMap((rule) =>
      targets.some((target) => rule.matches(target)) ? rule[unit] : none,
    )
    return ofModels.length === 0 ? own : [...own, ...ofModels]
  }

  /** Tokens to take, after the output was limited to what the smallest limit can hold beside the input. */
  #reservation(exchange: Exchange, call: BillableCall, demands: readonly Demand[]): number {
    const { inputTokens, request } = call
    if (exchange.operation === 'embeddings') return Math.max(1, inputTokens)
    const answers = askedAnswers(request)
    const estimated = Math.min(this.#estimatedOutputTokens, call.outputTokens ?? Infinity)
    const units = inputTokens + (request.maxOutputTokens ?? estimated) * answers
    let smallest = demands[0]!
    for (const demand of demands) if (demand.limit < smallest.limit) smallest = demand
    const room = Math.floor((smallest.limit - inputTokens) / answers)
    if (units <= smallest.limit || room < 1) return Math.max(1, units)
    call.clamp(room, `the limit of ${smallest.limit} tokens per ${smallest.kind!.window} allows no more`)
    return smallest.limit
  }

  /** A model whose limit is used up is left out, as long as there is another to try. */
  #passOn(exchange: Exchange, { demand }: Refused): boolean {
    const rule =
      demand && this.#models.find(({ requests, tokens }) => requests.includes(demand) || tokens.includes(demand))
    if (!rule || exchange.targets.every((target) => rule.matches(target))) return false
    for (const target of exchange.targets) if (rule.matches(target)) exchange.exclude(target, 'rate-limit')
    return true
  }

  /** A model that was not tried in the end was not used. */
  #giveBackUntried(requests: Taken, { attempts }: Outcome): void {
    for (const rule of this.#models) {
      if (attempts.some(({ target }) => rule.matches(target))) continue
      for (const [place, demand] of requests.demands.entries())
        if (rule.requests.includes(demand)) this.#engine.giveBackOne(requests, place)
    }
  }

  #refuse(refused: Refused): Error {
    const { demand } = refused
    this.#refusals.add(1, {
      limit: demand ? (demand.kind?.name ?? 'concurrent_requests') : 'unavailable',
      scope: demand?.subject.split(':')[0] ?? 'none',
    })
    return refusalOf(refused)
  }

  #recordOf(exchange: Exchange): Record {
    let record = exchange.get(recordKey)
    if (!record) {
      record = { requests: undefined, tokens: [], settled: false }
      exchange.set(recordKey, record)
    }
    return record
  }
}

/** Counters hold whole numbers, whatever an upstream says it used. */
function wholeTokens(tokens: number): number {
  return tokens > 0 ? Math.min(Math.ceil(tokens), mostTokens) : 0
}
