/**
 * The provider contract: everything a provider package imports from `@hadrian/core/provider`. The kernel owns sockets,
 * deadlines, abort, SSE splitting, retries and spans; a provider is data and pure functions, so its tests need no network.
 */

import type { Dialect, GenerateRequest, JsonObject, Operation, StreamEvent, Warning } from './canonical.ts'
import type { GatewayError } from './errors.ts'
import type { ObjectSchema, OptionsOf } from './options.ts'
import type { Awaitable, Clock, Logger, SafeFetch } from './services.ts'

export * from './canonical.ts'
export { GatewayError, gatewayError, isGatewayError } from './errors.ts'
export type { GatewayErrorInit } from './errors.ts'
export type { ObjectSchema, OptionsOf, Schema } from './options.ts'
export type { Awaitable, Clock, FetchedResource, FetchOptions, Logger, SafeFetch } from './services.ts'
export { parseRetryAfter, upstreamError } from './upstream-error.ts'
export type { UpstreamFailure } from './upstream-error.ts'
export { AnswerBuilder, answerOf, eventsOf } from './answer.ts'
export type { Answer, AnswerChoice } from './answer.ts'
export { turns } from './turns.ts'

/** The contract version a provider is written for. The kernel accepts this number only. */
export const providerApi = 1

/** A provider instance and a model of it: one place a request can go. */
export interface Target {
  /** Name of the instance in the config: `openai`. */
  readonly provider: string
  /** The model as the upstream knows it: `gpt-4o`. */
  readonly model: string
  /** `provider/model`, unique. */
  readonly name: string
  /** The name the client asked for that led here: a catalog name, an alias, or the target's own. */
  readonly requested: string
  /** The suffix of the requested name that changes routing, where it was no part of the name: `gpt-4o:floor`. */
  readonly suffix?: RoutingSuffix
  /** The requested name without its suffixes, where it had any: what allow-lists go by. */
  readonly plainName?: string
  /** What the catalog knows of it. */
  readonly info?: ModelInfo
}

/** Suffixes of a model name that say how its targets are sorted. (`:online` is no such: it names the plugin `web`.) */
export type RoutingSuffix = 'nitro' | 'floor' | 'exacto'

/** What becomes of prompts at a target, as far as the operator or the catalog knows. */
export interface DataPolicy {
  /** Days that prompts are kept after the answer; 0 is zero data retention. */
  readonly retentionDays?: number
  /** Whether the upstream may train on prompts. */
  readonly training?: boolean
  /** Where the data stays: `eu`, `us-east5`, ... */
  readonly region?: string
}

/** What is known about one model of one provider. Unknown is absent; nothing is refused because it is unknown. */
export interface ModelInfo {
  readonly id: string
  readonly name?: string
  /** Unix time in seconds. */
  readonly created?: number
  readonly ownedBy?: string
  /** Tokens of input and output together. */
  readonly contextLength?: number
  readonly maxOutputTokens?: number
  readonly inputModalities?: readonly string[]
  readonly outputModalities?: readonly string[]
  /** Canonical parameter names in snake_case: `tools`, `response_format`, `reasoning`, ... */
  readonly supportedParameters?: readonly string[]
  readonly prices?: ModelPrices
  /** `int4 int8 fp4 mxfp4 nvfp4 fp6 fp8 mxfp8 fp16 bf16 fp32 unknown`. */
  readonly quantization?: string
  readonly dataPolicy?: DataPolicy
  /** Whether the author of the model lets others train on its text. */
  readonly distillable?: boolean
  /** By what clients name the target in `provider` preferences, `azure/eu`; default: the name of the instance. */
  readonly slug?: string
  /** Share of the calls among the targets of one name, beside others with a weight. */
  readonly weight?: number
}

/** What is known of a model whose name is known anyway. */
export type ModelFacts = Omit<ModelInfo, 'id'>

/** Micro-dollars per million tokens, which is dollars per token times 10^12: $2.50 per million is 2,500,000. */
export interface TokenPrices {
  readonly input: number
  readonly output: number
  /** Input read from the provider's prompt cache. Default: as `input`. */
  readonly cachedInput?: number
  /** Input written to the provider's prompt cache. Default: as `input`. */
  readonly cacheWrite?: number
  /** Input written to the provider's prompt cache for an hour. Default: as `cacheWrite`. */
  readonly cacheWrite1h?: number
  /** Output spent on thinking. Default: as `output`. */
  readonly reasoning?: number
  /** Default: as `input`. */
  readonly audioInput?: number
  /** Default: as `output`. */
  readonly audioOutput?: number
}

/** Prices of calls with a long input. */
export interface PriceTier extends TokenPrices {
  /** The tier prices every token of a call whose input has more tokens than this. */
  readonly aboveInputTokens: number
}

/** What the calls of a model cost. */
export interface ModelPrices extends TokenPrices {
  /** Micro-dollars per request. */
  readonly request?: number
  /** Micro-dollars per image of the request, beside the tokens it counts. */
  readonly image?: number
  /** In rising order of `aboveInputTokens`. */
  readonly tiers?: readonly PriceTier[]
}

/** What a provider can do, as data. Model by model differences belong in the catalog. */
export interface Capabilities {
  readonly operations: readonly Operation[]
  /**
   * Client dialects the upstream speaks natively, with the path of each. Drives byte passthrough. A provider with none
   * for an operation serves it through `encode` and `decode` alone.
   */
  readonly dialects: Readonly<Partial<Record<Dialect, string>>>
  /**
   * Extension fields (`top_k`, `min_p`, `reasoning`, ...) that the upstream takes under the client's own spelling. A
   * request with any other extension goes through `encode`, which maps it or warns.
   */
  readonly extensions?: readonly string[]
  /** Passthrough is refused for requests this says no to, because some field of theirs must be mapped. */
  readonly passes?: (request: GenerateRequest, target: Target) => boolean
  readonly tools?: boolean
  readonly jsonSchema?: boolean
  readonly reasoning?: boolean
  /** Several choices (`n`) in one call; the kernel emulates it by parallel calls where this is not true. */
  readonly choices?: boolean
  /** Whether the upstream searches the web by itself for this request and model: `encode` obeys `request.webSearch`. */
  readonly webSearch?: (request: GenerateRequest, target: Target) => boolean
  /** Modalities of input besides text: `image`, `audio`, `file`. */
  readonly input?: readonly string[]
}

/** An HTTP request for the upstream, before credentials. */
export interface WireRequest {
  readonly method: 'POST' | 'GET'
  /** Appended to the provider's `baseUrl`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** A JSON value, or bytes that are JSON already. */
  readonly body?: unknown
  /** The dialect of the answer if the kernel has a codec for it, else a name of the provider's own. */
  readonly dialect: string
}

/** One record of an event stream. */
export interface ServerSentEvent {
  /** The `event:` field, or undefined. */
  readonly event?: string
  /** The `data:` lines joined by newlines. */
  readonly data: string
}

/**
 * Turns the records of one streamed answer into events: a state machine, same input, same output. Must be total: an
 * unknown record is no error and gives no event. A record that says the upstream failed gives an `error` event.
 */
export interface Decoder {
  push(message: ServerSentEvent): readonly StreamEvent[]
  /** The body has ended. Called once, not after a cut. */
  end(): readonly StreamEvent[]
}

interface ProviderFields {
  readonly capabilities: Capabilities
  /**
   * Makes a request fit this upstream where bytes are needed, before it is encoded or sent: fetches images the upstream
   * cannot fetch itself. Throw when that fails: nothing is dropped in silence.
   */
  prepare?(request: GenerateRequest, target: Target, signal: AbortSignal): Promise<GenerateRequest>
  /** When the gateway stops. */
  stop?(): Awaitable<void>
}

/** An upstream that speaks HTTP with JSON or server-sent events: data and pure functions, the kernel does the rest. */
export interface HttpProvider extends ProviderFields {
  /** `https://api.openai.com/v1`, no slash at the end. From the operator's config, hence trusted. */
  readonly baseUrl: string
  /** The request on the wire. Pure. Everything the upstream cannot do is a warning; nothing is dropped in silence. */
  encode(
    request: GenerateRequest,
    target: Target,
  ): { readonly wire: WireRequest; readonly warnings: readonly Warning[] }
  /** A whole answer as events, ending in `usage` (if known) and `finish`. Throws a `GatewayError` if it makes no sense. */
  decode(body: unknown, wire: WireRequest): readonly StreamEvent[]
  decoder(wire: WireRequest): Decoder
  /** An answer with an error status. `body` is parsed JSON, or text if it is none. Use {@link upstreamError}. */
  decodeError(status: number, headers: Readonly<Record<string, string>>, body: unknown): GatewayError
  /** Adds credentials: the only impure step. Called for every attempt, passthrough too. */
  authorize(wire: WireRequest): Awaitable<WireRequest>
  /** Models the upstream offers, if it can tell. Called rarely; results are cached by the kernel. */
  models?(): Awaitable<readonly ModelInfo[] | ModelsRequest>
  readonly send?: undefined
}

/** An upstream with a transport of its own: a local model, a socket, a script. */
export interface TransportProvider extends ProviderFields {
  /** Answers a request. The iterable is consumed once; `signal` must end it. */
  send(request: GenerateRequest, target: Target, signal: AbortSignal): Promise<AsyncIterable<StreamEvent>>
  models?(): Awaitable<readonly ModelInfo[]>
}

/** One kind of upstream, configured. */
export type Provider = HttpProvider | TransportProvider

/** A request that lists models, and how to read its answer: the kernel sends it. */
export interface ModelsRequest {
  readonly wire: WireRequest
  read(body: unknown): readonly ModelInfo[]
}

/** What a provider's `setup` gets. */
export interface ProviderServices<O extends ObjectSchema> {
  /** Name of the instance in the config. */
  readonly instance: string
  readonly options: OptionsOf<O>
  readonly logger: Logger
  readonly clock: Clock
  /** For URLs that came with a request. */
  readonly fetch: SafeFetch
}

/** A provider package's default export. */
export interface ProviderDefinition<O extends ObjectSchema = ObjectSchema, P extends Provider = Provider> {
  readonly name: string
  readonly api: 1
  readonly description?: string
  /** JSON Schema of what the operator sets under `[providers.INSTANCE]`, besides `type` and `timeouts`. */
  readonly options: O
  /**
   * Without a config file: instances to make when all their environment variables are set, each variable to the option
   * it fills. An empty `environment` means always.
   */
  readonly defaults?: readonly {
    readonly instance: string
    readonly environment: Readonly<Record<string, string>>
    readonly options?: JsonObject
  }[]
  setup(services: ProviderServices<O>): Awaitable<P>
}

/** Returns its argument; makes TypeScript infer the types of the options and of the provider. */
export function defineProvider<const O extends ObjectSchema, P extends Provider = Provider>(
  definition: ProviderDefinition<O, P>,
): ProviderDefinition<O, P> {
  return definition
}
