/**
 * The plugin contract: everything a plugin package imports from `@hadrian/core/plugin`.
 *
 * Rules to remember: return nothing to continue, return a {@link Reply} to answer, throw a `GatewayError` to refuse.
 */

import type { Meter, Tracer } from '@opentelemetry/api'
import type { Dialect, GenerateRequest, JsonObject, Operation, StreamEvent, Usage, Warning } from './canonical.ts'
import type { GatewayError } from './errors.ts'
import type { ObjectSchema, OptionsOf } from './options.ts'
import type { ModelInfo, Target } from './provider.ts'
import type { StateKey } from './state.ts'

export * from './canonical.ts'
export { GatewayError, gatewayError, isGatewayError, errorCodes } from './errors.ts'
export type { ErrorCode, GatewayErrorInit } from './errors.ts'
export type { ObjectSchema, OptionsOf, Schema } from './options.ts'
export { AnswerBuilder, answerOf, eventsOf } from './answer.ts'
export type { Answer, AnswerChoice } from './answer.ts'
export { stateKey } from './state.ts'
export type { StateKey } from './state.ts'
export type { ModelInfo, Target } from './provider.ts'

/** The contract version a plugin is written for. The kernel accepts this number only. */
export const pluginApi = 1

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
   * Inserts rows in one statement, by `unnest`. All rows have the same keys, which are column names.
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

/** Who is calling. Made by an `authenticate` hook through `call.identify`. */
export interface Principal {
  /** Stable id of the credential: what limits, budgets and logs count by. */
  readonly id: string
  /** Shown to people: a key's name. Never the secret. */
  readonly name?: string
  /** Owners from the nearest up: project, team, organization. */
  readonly owners?: readonly { readonly kind: string; readonly id: string }[]
  /** What the caller may do: `chat`, `embeddings`, `models`, `admin`, ... Absent: everything but `admin`. */
  readonly scopes?: readonly string[]
  /** Model names and `prefix*` patterns. Absent: every model. The kernel enforces it on every candidate and attempt. */
  readonly allowedModels?: readonly string[]
}

/** A request before its body is read. Given to `receive` and `authenticate`. */
export interface InboundCall {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The client's address, behind trusted proxies too. */
  readonly ip: string
  readonly signal: AbortSignal
  /** Set once `identify` was called; later `authenticate` hooks are skipped. */
  readonly principal: Principal | undefined
  /** Says who is calling. */
  identify(principal: Principal): void
}

/** A call with its body, for the plugin's own `routes`. */
export interface RouteCall extends InboundCall {
  /** Values of `:name` segments of the path, decoded. */
  readonly params: Readonly<Record<string, string>>
  /** Reads and parses the JSON body, bounded; an empty body is `{}`. Throws `invalid_json`, `request_too_large`. */
  body(): Promise<JsonObject>
}

/** An HTTP endpoint of a plugin. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/admin/v1/things/:id` */
  readonly path: string
  /** The scope the caller needs, or null for an endpoint open to everybody. */
  readonly scope: string | null
  /** For `/openapi.json`. */
  readonly summary?: string
  handle(call: RouteCall, principal: Principal | undefined): Awaitable<Reply>
}

/**
 * An answer. Model output travels in `events`, so that response hooks and every dialect can work on it; anything else
 * is a `body`.
 */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Model output, to be consumed once. */
  readonly events?: AsyncIterable<StreamEvent>
  /** JSON value, or text or bytes if `headers` names a content type. */
  readonly body?: unknown
}

export interface ReplyInit {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Default: zero tokens. */
  readonly usage?: Usage
}

/** A reply with a JSON body, for routes and for hooks that answer before there is an exchange. */
export function jsonReply(body: unknown, init: Pick<ReplyInit, 'status' | 'headers'> = {}): Reply {
  return { status: init.status ?? 200, headers: init.headers ?? {}, body }
}

/**
 * Every prompt string of a request, in order: messages, tool names' descriptions, tool results, `native` and `extra`
 * parts, embedding input. Strings that only steer (roles, ids, URLs, enum values) are left out, base64 data too.
 */
export interface TextSlots extends Iterable<string> {
  readonly length: number
  /**
   * Replaces every string for which `change` returns a different one; counts as an edit only if one did. `path` is the
   * place in the canonical request, for error messages.
   */
  replace(change: (text: string, path: string) => string): void
}

/** One client request and everything until its accounting is done. */
export interface Exchange {
  readonly id: string
  readonly operation: Operation
  readonly dialect: Dialect
  /** Aborts when the client goes away, the total time is over, or the gateway stops. Pass it on to whatever you await. */
  readonly signal: AbortSignal
  /** Request headers in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Read-only view; {@link Exchange.edit} changes it. */
  readonly request: GenerateRequest
  /** Copy-on-write: return a changed copy, never mutate. Ends byte passthrough of the request. */
  edit(change: (request: GenerateRequest) => GenerateRequest): void
  texts(): TextSlots
  readonly principal: Principal
  /** What may be tried, in order. A `route` hook may assign a reordered or shorter list; nothing can be added that the principal may not use. */
  targets: readonly Target[]
  /** Takes a target off the list and records who did it, for `routing_error` and `hadrian_metadata`. */
  exclude(target: Target, removedBy: string): void
  /** The target and count of the attempt under way or last made. */
  readonly attempts: readonly AttemptRecord[]
  /** Sum over all billed calls so far. */
  readonly usage: Usage | undefined
  readonly warnings: readonly Warning[]
  warn(warning: Warning): void
  get<T>(key: StateKey<T>): T | undefined
  set<T>(key: StateKey<T>, value: T): void
  /** Sets a header of the answer; only before its first byte. */
  header(name: string, value: string): void
  /** An answer of the plugin's own, as if a model had said `text`. Passes all active response hooks. */
  reply(text: string, init?: ReplyInit): Reply
}

/** What became of one attempt. */
export interface AttemptRecord {
  readonly target: Target
  /** Monotonic start in milliseconds. */
  readonly startedMs: number
  readonly firstEventMs?: number
  readonly endedMs?: number
  /** Absent while it runs. */
  readonly outcome?: 'completed' | 'failed' | 'aborted'
  readonly error?: GatewayError
  readonly usage?: Usage
}

/** One try of one target, given to `attempt` hooks. */
export interface Attempt {
  readonly target: Target
  /** Counts from 1 over the whole exchange. */
  readonly number: number
  /** The request for this target: the exchange's, plus what `edit` changed. */
  readonly request: GenerateRequest
  /** Changes the request for this target only. */
  edit(change: (request: GenerateRequest) => GenerateRequest): void
  /** Resolves with the final record when the upstream call has ended, cut streams included. Never rejects. */
  readonly done: Promise<AttemptRecord>
}

/** A call about to be made that somebody will be billed for. */
export interface BillableCall {
  /** The final request and the targets still in play. */
  readonly request: GenerateRequest
  readonly targets: readonly Target[]
  /** Estimated input in tokens. */
  readonly inputTokens: number
  /** Output ceiling in tokens: the client's, or the largest of the targets; undefined if none is known. */
  readonly outputTokens: number | undefined
  /** Lowers the output ceiling of this call, with a warning to the client. */
  clamp(outputTokens: number, reason: string): void
}

/** How an exchange ended. */
export interface Outcome {
  /**
   * completed: the answer went out whole. refused: a hook said no before the provider did anything. failed: provider or
   * gateway. aborted: the client went away.
   */
  readonly status: 'completed' | 'refused' | 'failed' | 'aborted'
  /** HTTP status the client saw or would have seen. */
  readonly httpStatus: number
  readonly error?: GatewayError
  readonly usage: Usage | undefined
  /** The target that answered. */
  readonly target?: Target
  readonly attempts: readonly AttemptRecord[]
  readonly finishReason?: string
  /** The plugin that answered or refused, or undefined for a provider or the kernel. */
  readonly plugin?: string
  readonly streamed: boolean
  /** Wall-clock start, milliseconds since 1970. */
  readonly startedAt: number
  readonly durationMs: number
  /** From the start until the first event was ready for the client. */
  readonly firstEventMs?: number
}

/** Continues inward: the next `dispatch` hook, and at last the provider. May be called again, for another turn. */
export type Dispatch = (request?: GenerateRequest) => Promise<Reply>

type RequestHook<P> = (exchange: Exchange, params: P) => Awaitable<Reply | void>

/**
 * The hooks of a plugin; implement those you need. `params` is what the client sent for this plugin in `plugins`, merged
 * with the operator's defaults; `{}`-like defaults where the plugin declares none.
 *
 * A plugin with `params` is active for an exchange if the client named it (or the operator applies it always). Such a
 * plugin may implement `transform` and later hooks only.
 */
export interface Hooks<P = unknown> {
  /** First, headers only, body not read. Sequential. */
  receive?(call: InboundCall): Awaitable<Reply | void>
  /** Headers only. Recognise the credential and `identify`; recognise and reject: throw; else return nothing. */
  authenticate?(call: InboundCall): Awaitable<Reply | void>
  /** The principal and the candidates are known. */
  authorize?: RequestHook<P>
  /** Take a slot, count a request. Whatever is taken here is given back in `settle`. */
  admit?: RequestHook<P>
  /** Order and filter `exchange.targets`. */
  route?: RequestHook<P>
  /** Look at and change the request, answer instead of a model. */
  transform?: RequestHook<P>
  /** Around everything that talks to providers. */
  dispatch?(exchange: Exchange, next: Dispatch): Promise<Reply>
  /** Before every billable call; throw to refuse it. */
  reserve?(exchange: Exchange, call: BillableCall): Awaitable<void>
  /** Around one try of one target; `next` resolves at the first event of the answer. */
  attempt?(exchange: Exchange, attempt: Attempt, next: () => Promise<Reply>): Promise<Reply>
  /** Sees every event, changes none; keeps byte passthrough. Must not throw. */
  observe?(exchange: Exchange, event: StreamEvent): void
  /** Sync, per event, in reverse order of plugins. Return another event, several, null to drop it, nothing to keep it. */
  event?(exchange: Exchange, event: StreamEvent, params: P): StreamEvent | readonly StreamEvent[] | null | void
  /** Before `finish`, and when the upstream was cut: release what `event` held back. */
  flush?(exchange: Exchange, params: P): readonly StreamEvent[] | void
  /** Rewrites the whole stream; costs latency and is shown as such by `hadrian plan`. */
  stream?(exchange: Exchange, events: AsyncIterable<StreamEvent>, params: P): AsyncIterable<StreamEvent>
  /** Once per exchange, always, in reverse order; a throw is logged and stops nobody else. */
  settle?(exchange: Exchange, outcome: Outcome): Awaitable<void>
  /** After every `setup`, in plugin order; the database is migrated. A throw stops the start. */
  start?(): Awaitable<void>
  /** In reverse order; also without `start`, and safe to call twice. */
  stop?(): Awaitable<void>
  readonly routes?: readonly Route[]
  /** Values for the names in `provides`. */
  readonly services?: Readonly<Record<string, unknown>>
}

/** Names of hooks that are walked per exchange, in pipeline order. */
export const hookNames = [
  'receive',
  'authenticate',
  'authorize',
  'admit',
  'route',
  'transform',
  'dispatch',
  'reserve',
  'attempt',
  'observe',
  'event',
  'flush',
  'stream',
  'settle',
] as const

export type HookName = (typeof hookNames)[number]

/** A plugin package's default export. */
export interface PluginDefinition<O extends ObjectSchema = ObjectSchema, P extends ObjectSchema = ObjectSchema> {
  /** Folder name, config name, and the name in package.json. */
  readonly name: string
  readonly api: 1
  /** One sentence for `hadrian plugins`. */
  readonly description?: string
  /** JSON Schema of what the operator sets under `[plugins.NAME]`. */
  readonly options: O
  /** JSON Schema of what a client may set in its `plugins` entry. Its presence makes the plugin nameable by clients. */
  readonly params?: P
  readonly order?: { readonly before?: readonly string[]; readonly after?: readonly string[] }
  /** Services that must exist. All that are missing are reported in one message. */
  readonly requires?: readonly string[]
  /** Services that `setup` returns under `services`. */
  readonly provides?: readonly string[]
  /** A check that must hold on every exposed endpoint, streamed or not; the kernel refuses to start if it cannot. */
  readonly guardrail?: { readonly input?: boolean; readonly output?: boolean }
  /** Whether a failing or slow hook fails the exchange (the default, `closed`) or is skipped with a warning (`open`). */
  readonly failure?: 'closed' | 'open'
  /** Directory of numbered `.sql` files, usually `new URL('./migrations/', import.meta.url)`. Run before `start`. */
  readonly migrations?: URL
  setup(services: Services & { readonly options: OptionsOf<O> }): Awaitable<Hooks<OptionsOf<P>>>
}

/** Returns its argument; makes TypeScript infer the types of options and params from their schemas. */
export function definePlugin<const O extends ObjectSchema, const P extends ObjectSchema = ObjectSchema>(
  definition: PluginDefinition<O, P>,
): PluginDefinition<O, P> {
  return definition
}
