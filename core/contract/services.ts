/** What the kernel offers plugins and providers: the services that `setup` may ask for. */

import type { Meter, Tracer } from '@opentelemetry/api'
import type { Dialect, JsonObject, Operation, Usage } from './canonical.ts'
import type { Outcome, Principal } from './exchange.ts'
import type { ModelInfo, Target } from './provider.ts'

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
 * in batches.
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
}

/**
 * Fetches a URL that came from a request: refuses every address that is not public, literal, resolved or redirected to,
 * and caps time, size and type. Throws a `GatewayError`: 400 `invalid_request_error` for a refused or unusable URL.
 */
export type SafeFetch = (url: string, options?: FetchOptions) => Promise<FetchedResource>

/** What the gateway knows about models. */
export interface Catalog {
  /** Models that this principal may use, as `GET /api/v1/models` lists them. */
  models(principal: Principal): Promise<readonly (ModelInfo & { readonly provider: string })[]>
  /** The targets of a model name, best first; empty when the name means nothing here. */
  resolve(name: string): readonly Target[]
  /** Known names that are spelled like this one, nearest first, at most five. */
  suggestions(name: string): readonly string[]
  /** The price of a usage at a target, in micro-dollars; undefined while no price is known. */
  price(target: Target, usage: Usage): number | undefined
}

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
  readonly meter: Meter
  readonly tracer: Tracer
  readonly [service: string]: unknown
}
