/** What the kernel offers plugins and providers: the services that `setup` may ask for. */

import type { Meter, Tracer } from '@opentelemetry/api'
import type { Dialect, GenerateRequest, JsonObject, Operation, Usage } from './canonical.ts'
import type { Outcome, Principal } from './exchange.ts'
import type { ModelFacts, ModelInfo, ModelPrices, Target } from './provider.ts'

/** A value, or a promise of it. */
export type Awaitable<T> = T | Promise<T>

/** Levels of a structured logger. Fields first, then a constant message. Never log prompts, completions or secrets. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Time, replaced in tests. Use it instead of `Date.now` and `setTimeout`, so that no test needs to sleep. */
export interface Clock {
  /** Wall-clock time in milliseconds since 1970. */
  now(): number
  /** Milliseconds that never jump; only differences mean something. */
  monotonicMs(): number
  /** Runs `callback` once after `delayMs`; returns a function that cancels it. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void
}

/** A row as the database returns it; `bigint` columns arrive as strings, `jsonb` parsed, timestamps as `Date`. */
export type Row = Record<string, unknown>

/** Runs one statement with `$1` parameters. */
export interface Queryable {
  query<R extends Row = Row>(sql: string, params?: readonly unknown[]): Promise<R[]>
}

/**
 * The shared PostgreSQL, embedded or not. Never call it on the path of a request: cache what a request needs and write
 * in batches. While it cannot be reached, everything rejects with an error whose `code` is `database_unavailable`, which
 * a route may let through: the client sees 503.
 */
export interface Database extends Queryable {
  /** Runs `work` in one transaction: committed when it resolves, rolled back when it throws. */
  tx<T>(work: (transaction: Queryable) => Promise<T>): Promise<T>
  /**
   * Inserts rows in one statement. All rows have the same keys, which are column names.
   * `conflict` is appended as the statement's `ON CONFLICT` clause. Returns the number of rows inserted.
   */
  insertMany(table: string, rows: readonly Row[], options?: { readonly conflict?: string }): Promise<number>
  /**
   * Calls `callback` with each NOTIFY payload of a channel, from any instance. Resolves to a function that stops it.
   * `missed` is called after the connection was lost and made again: payloads of the meantime never come, so a cache
   * that they keep true must be emptied.
   */
  listen(
    channel: string,
    callback: (payload: string) => void,
    options?: { readonly missed?: () => void },
  ): Promise<() => Promise<void>>
  /** Sends a NOTIFY. Payloads are at most 7,999 bytes. */
  notify(channel: string, payload: string): Promise<void>
}

/** An HTTP answer of the outside world, its body already read within the limits. */
export interface FetchedResource {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** The URL after redirects. */
  readonly url: string
}

/** What {@link SafeFetch} does differently for one URL. */
export interface FetchOptions {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Default 10,000 ms for everything together. */
  readonly timeoutMs?: number
  /** Default 20 MiB. A larger body is an error, not a truncation. */
  readonly limitBytes?: number
  /** Accepted media types, `image/*` or exact; default any. */
  readonly accept?: readonly string[]
  /** Default 3. */
  readonly maxRedirects?: number
  readonly signal?: AbortSignal
  /**
   * The URL is the operator's: it begins with a `base_url` of the plugin's options, and nothing before its query came
   * from a request. Its host may then have any address. It may redirect within its origin only, so that whoever answers
   * there cannot lead the gateway on into the operator's network. What goes wrong is not the client's fault, so it is
   * 502 `provider_error`, or 504 `provider_timeout`.
   */
  readonly trusted?: boolean
}

/**
 * Fetches a URL that came from a request: refuses every address that is not public, literal, resolved or redirected to,
 * and caps time, size and type. Throws a `GatewayError`: 400 `invalid_request_error` for a refused or unusable URL.
 * No header, body or query is ever in its message.
 */
export type SafeFetch = (url: string, options?: FetchOptions) => Promise<FetchedResource>

/** A provider instance, as plugins may know it: without its credentials. */
export interface ProviderSummary {
  /** Name of the instance, the prefix of its models. */
  readonly name: string
  /** Name of the package. */
  readonly type: string
  /** Where the upstream is; absent for a transport of its own. */
  readonly baseUrl?: string
  /** Modalities of input besides text that it can take, `image`, `audio`, `file`, where its models do. */
  readonly input?: readonly string[]
  /** Whether it searches the web by itself for a request and one of its models; absent if it never does. */
  readonly webSearch?: (request: GenerateRequest, target: Target) => boolean
}

/** A model as it is listed. What is known of it is what is known of its first target. */
export interface CatalogModel extends ModelInfo {
  /** The instance of its first target. */
  readonly provider: string
  /** Where calls of it may go, best first; never empty. Absent in a catalog that knows no more than names. */
  readonly targets?: readonly Target[]
}

/** What the gateway knows about models. */
export interface Catalog {
  /**
   * Models that this principal may use, as `GET /api/v1/models` lists them. Upstreams that do not answer delay it by
   * seconds at most, and once.
   *
   * @param id only the model of this name, if it is listed
   */
  models(principal: Principal, id?: string): Promise<readonly CatalogModel[]>
  /** The targets of a model name, best first; empty when the name means nothing here. */
  resolve(name: string): readonly Target[]
  /**
   * Whether somebody gave this very name: the config, the admin API, or an upstream in its list. Not so of what means
   * something only because any model may follow a provider. What looks like a suffix belongs to such a name.
   */
  isName?(name: string): boolean
  /** Known names that are spelled like this one, nearest first, at most five. */
  suggestions(name: string): readonly string[]
  /** The provider instances. */
  readonly providers: readonly ProviderSummary[]
  /**
   * Asks a provider instance for its models, now and not from memory, to see whether it answers.
   *
   * @throws GatewayError if it does not, or says that it failed; `unsupported` if it has no such question
   */
  check?(provider: string, signal: AbortSignal): Promise<void>
  /** What calls of a target cost; undefined while no price is known. */
  prices(target: Target): ModelPrices | undefined
  /** The price of a usage at a target, in micro-dollars; undefined while no price is known. */
  price(target: Target, usage: Usage): number | undefined
  /**
   * The most a call can cost at a target, in micro-dollars, whatever part of its input is cached or written and of its
   * output is reasoning; undefined while no price is known.
   */
  priceCeiling(
    target: Target,
    call: { readonly inputTokens: number; readonly outputTokens: number; readonly images?: number },
  ): number | undefined
}

/**
 * Prices from elsewhere than the config. The catalog asks the service `price-book`, if a plugin provides it, for every
 * price: on the path of a request, so from memory.
 */
export interface PriceBook {
  /** Prices of a target, whose own (`target.info.prices`, from the config) it may prefer; undefined while unknown. */
  prices(target: Target): ModelPrices | undefined
  /** Every price that a call which begins now may end with, where time alone changes it. Absent: that of `prices`. */
  pricesAhead?(target: Target): readonly ModelPrices[]
  /** Whether what an upstream says a call cost is charged in place of tokens times prices. */
  readonly honoursReportedCost: boolean
}

/** A target of a name in the catalog, and what is known of it there alone. */
export interface NamedTarget {
  /** `provider/model`. */
  readonly target: string
  readonly info?: ModelFacts
}

/**
 * Models that are known from elsewhere than the config: built in, or set through the admin API. The catalog asks the
 * service `model-book`, if a plugin provides it: on the path of a request, so from memory. It remembers the answers until
 * `version` grows.
 */
export interface ModelBook {
  /** What the operator set for a model of a provider instance, apart from the config: wins over it, field by field. */
  info(target: Pick<Target, 'provider' | 'model'>): ModelFacts | undefined
  /** What is publicly known of it: every field that the config does not have. Absent: nothing is. */
  known?(target: Pick<Target, 'provider' | 'model'>): ModelFacts | undefined
  /** Names of its own, which lead to targets in order. Names of the config win. */
  find(name: string): { readonly targets: readonly NamedTarget[]; readonly info: ModelFacts } | undefined
  /** Every name that something was set for: those of its own, and `provider/model` of targets. */
  readonly names: Iterable<string>
  /** Grows whenever anything changed. */
  readonly version: number
}

/** Percentiles of what was measured in the last five minutes. */
export interface Percentiles {
  readonly p50: number
  readonly p75: number
  readonly p90: number
  readonly p99: number
  /** How many calls they are made of. */
  readonly count: number
}

/** How targets have fared. Provided as the service `target-health`; from memory, on the path of a request. */
export interface TargetHealth {
  /**
   * `healthy`; `degraded`: it has failed much of late, others come first; `open`: calls are held back at the moment, by a
   * circuit breaker, a failed health check or the target's `Retry-After`.
   */
  state(target: Target): 'healthy' | 'degraded' | 'open'
  /** Milliseconds until the first event of an answer. Undefined while nothing was measured. */
  latencyMs(target: Target): Percentiles | undefined
  /** Output tokens per second. */
  throughput(target: Target): Percentiles | undefined
  /** Calls of this process that are under way. */
  inFlight(target: Target): number
  /** Milliseconds until calls are let through again, where the state is `open`; 0 otherwise. */
  retryAfterMs?(target: Target): number
  /**
   * Share, 0 to 1, of the answers with tool calls whose calls were all sound: known names, arguments that are a JSON
   * object. Undefined while nothing was measured.
   */
  toolCallSuccess?(target: Target): { readonly share: number; readonly count: number } | undefined
}

/** A record in the {@link Journal}, until it is released. */
export interface JournalEntry {
  readonly record: JsonObject
  /** The record as JSON text, as it was appended. For whoever writes it elsewhere too: it need not be made again. */
  readonly json: string
}

/** A plugin's part of the {@link Journal}. */
export interface JournalChannel {
  /**
   * What earlier processes appended and did not release, oldest first, as far as each was written. Release each when it
   * is dealt with. A process that died may have dealt with some already, so dealing with one again must change nothing.
   */
  readonly left: readonly JournalEntry[]
  /**
   * Appends a record. It is written within two milliseconds, together with others, and at the end of this turn of the
   * event loop if somebody calls {@link written}. Costs about a microsecond.
   * @throws RangeError if the record is longer than 4 Mi characters of JSON
   * @throws Error if too many wait for a disk that takes nothing
   */
  append(record: JsonObject): JournalEntry
  /**
   * Resolves when everything appended so far is written: it then survives the death of the process, and a loss of power
   * as the operator chose. Resolves at once if it is written already. Rejected while the disk takes nothing, which is
   * tried again every second; release what you then do not go on with, else it is written when it can be.
   */
  written(): Promise<void>
  /** The record is not needed any more: what it says is in the database. */
  release(entry: JournalEntry): void
}

/**
 * An append-only file for what must outlive the process before the database has it. Kept in the data directory, also of
 * a gateway with a database elsewhere; a reload of the config does not touch it.
 */
export interface Journal {
  /** Opens the plugin's channel, in `start` or later. Opening it again, after a reload, returns the same. */
  open(name: string): Promise<JournalChannel>
}

/**
 * Keeps a value alive across reloads of the config: the first call makes it, a later one with the same name returns it,
 * also in the setup of a plugin's next generation. For counters and leases; everything else is made anew. Its `close`, if
 * it has such a method, is called when the gateway stops, after all plugins have stopped and before the database closes.
 */
export type Retain = <T extends object>(name: string, create: () => T) => T

/** A request for the `run` service: a body in a client dialect, as an HTTP client would send it. */
export interface RunRequest {
  readonly operation: Operation
  readonly dialect: Dialect
  readonly body: JsonObject
  readonly headers?: Readonly<Record<string, string | undefined>>
  /** Default: a fresh one. */
  readonly id?: string
}

/** The answer of the `run` service, ready to send in the client's dialect. */
export interface RunResult {
  readonly id: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** A whole JSON body, or undefined when the answer is a stream. */
  readonly body?: string | Uint8Array
  /** The records of a stream, already framed; pull the next only when the last is sent. */
  readonly stream?: AsyncIterable<string>
  /** Resolves when the exchange is settled. Never rejects. */
  readonly settled: Promise<Outcome>
}

/**
 * Runs the whole pipeline from `authorize` on, without HTTP: for background jobs, turns of a tool loop, WebSocket turns.
 * Never rejects for a failed exchange: that is a result with an error status.
 */
export type Run = (request: RunRequest, principal: Principal, signal: AbortSignal) => Promise<RunResult>

/** What `setup` may ask for by destructuring. Services that other plugins provide appear here under their own names. */
export interface Services {
  readonly logger: Logger
  readonly clock: Clock
  readonly db: Database
  readonly catalog: Catalog
  readonly fetch: SafeFetch
  readonly run: Run
  readonly journal: Journal
  readonly retain: Retain
  readonly meter: Meter
  readonly tracer: Tracer
  readonly [service: string]: unknown
}
