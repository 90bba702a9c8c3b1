import type { Exchange, GatewayError, JsonObject, SafeFetch } from '@hadrian/core/plugin'
import { isGatewayError } from '@hadrian/core/plugin'
import { CheckFailure } from './judge.ts'

/** Where and how to ask. */
export interface EndpointOptions {
  readonly base_url: string
  readonly api_key: string
  readonly model: string
  readonly request_timeout_ms: number
  readonly usd_per_request: number
  /** Categories that count; empty: all. */
  readonly categories: readonly string[]
  readonly thresholds: Readonly<Record<string, number>>
}

/** One input of a request: a text, or the whole request where it is an image. */
export type EndpointInput = readonly string[] | readonly [JsonObject]

/** Largest answer, in bytes: a result is about 2 KB, and a request has at most 32. */
const limitBytes = 1024 * 1024

/** A moderation endpoint as OpenAI has it: `POST {base_url}/moderations`. */
export class ModerationEndpoint {
  readonly #options: EndpointOptions
  readonly #url: string
  readonly #fetch: SafeFetch

  constructor(options: EndpointOptions, fetch: SafeFetch) {
    this.#options = options
    this.#url = `${options.base_url.replace(/\/+$/, '')}/moderations`
    this.#fetch = fetch
  }

  /**
   * The categories found in each input.
   *
   * @throws CheckFailure if the endpoint does not say
   */
  async ask(exchange: Exchange, input: EndpointInput): Promise<readonly (readonly string[])[]> {
    const costMicros = Math.ceil(this.#options.usd_per_request * 1_000_000)
    if (costMicros === 0) return this.#ask(exchange, input)
    return exchange.buy({ item: 'moderation', costMicros }, () => this.#ask(exchange, input))
  }

  async #ask(exchange: Exchange, input: EndpointInput): Promise<readonly (readonly string[])[]> {
    const answer = (await this.#send(exchange, input, true)) ?? (await this.#send(exchange, input, false))
    const results = answer?.['results']
    // An image is a request of its own, and has one result too.
    if (!Array.isArray(results) || results.length !== input.length)
      throw new CheckFailure('the moderation endpoint did not answer with a result for each text')
    return results.map((result: unknown) => this.#categoriesOf(result))
  }

  /** The answer; undefined for a failure that a second try may not meet. */
  async #send(exchange: Exchange, input: EndpointInput, mayRetry: boolean): Promise<JsonObject | undefined> {
    const { api_key: key, model, request_timeout_ms: timeoutMs } = this.#options
    let status: number
    let body: Uint8Array
    try {
      ;({ status, body } = await this.#fetch(this.#url, {
        method: 'POST',
        trusted: true,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model, input }),
        timeoutMs,
        limitBytes,
        maxRedirects: 0,
        signal: exchange.signal,
      }))
    } catch (error) {
      exchange.signal.throwIfAborted()
      if (!isServiceFailure(error)) throw error
      if (mayRetry && error.code !== 'provider_timeout') return undefined
      throw new CheckFailure(`the moderation endpoint failed: ${error.message}`, { cause: error.cause })
    }
    if (status >= 500 && mayRetry) return undefined
    // Its body may quote the text, so it is not even logged.
    if (status !== 200) throw new CheckFailure(`the moderation endpoint answered with status ${status}`)
    try {
      return JSON.parse(Buffer.from(body).toString('utf8')) as JsonObject
    } catch {
      throw new CheckFailure('the moderation endpoint did not answer with JSON')
    }
  }

  #categoriesOf(result: unknown): readonly string[] {
    const { flagged, categories, category_scores: scores } = (result ?? {}) as WireResult
    if (typeof flagged !== 'boolean' || !isRecord(categories)) throw new CheckFailure('a result has no verdict')
    const { categories: wanted, thresholds } = this.#options
    for (const name of [...wanted, ...Object.keys(thresholds)])
      if (typeof categories[name] !== 'boolean')
        throw new CheckFailure(`the moderation endpoint knows no category "${name}"`)
    const found = Object.keys(categories).filter((name) => {
      if (wanted.length > 0 && !wanted.includes(name)) return false
      const threshold = Object.hasOwn(thresholds, name) ? thresholds[name] : undefined
      if (threshold === undefined) return categories[name] === true
      const score = isRecord(scores) ? scores[name] : undefined
      if (typeof score !== 'number') throw new CheckFailure(`a result has no score for "${name}"`)
      return score >= threshold
    })
    // Whoever flags a text without saying what for has still flagged it.
    const isUnnamed = flagged && wanted.length === 0 && !Object.values(categories).includes(true)
    return isUnnamed ? [...found, 'flagged'] : found
  }
}

interface WireResult {
  readonly flagged?: unknown
  readonly categories?: unknown
  readonly category_scores?: unknown
}

function isRecord(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The endpoint is at fault; not the client who left, the gateway that stops or a budget. */
function isServiceFailure(error: unknown): error is GatewayError {
  return isGatewayError(error) && (error.code === 'provider_error' || error.code === 'provider_timeout')
}
