/** What hooks see of a request: the call, the caller, the exchange, its attempts and its end. */

import type { Dialect, GenerateRequest, JsonObject, Operation, StreamEvent, Usage, Warning } from './canonical.ts'
import type { GatewayError } from './errors.ts'
import type { Limits } from './limits.ts'
import type { Target } from './provider.ts'
import type { Awaitable } from './services.ts'
import type { StateKey } from './state.ts'

/** Somebody a principal belongs to, whose limits hold for all its principals together. */
export interface Owner extends Limits {
  /** `organization`, `team`, `project`, `user` or `service_account`; another authentication plugin may have others. */
  readonly kind: string
  readonly id: string
  /** Shown to people. */
  readonly name?: string
}

/**
 * Who is calling. Made by an `authenticate` hook through `call.identify`. Its own limits hold beside those of its owners:
 * the tightest refuses.
 */
export interface Principal extends Limits {
  /** Stable id of the credential: what limits, budgets and logs count by. Outlives a rotation of the secret. */
  readonly id: string
  /** Shown to people: a key's name. Never the secret. */
  readonly name?: string
  /** Owners from the nearest up: project, team, organization. */
  readonly owners?: readonly Owner[]
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
  /**
   * Reads and parses the JSON body, bounded; an empty body is `{}`. Call it once.
   *
   * @throws GatewayError `unsupported_media_type`, `request_too_large`, `invalid_json`, `invalid_request_error` for a body
   *   that is no object, `request_cancelled`
   */
  body(): Promise<JsonObject>
}

/** An HTTP endpoint of a plugin. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/admin/v1/things/:id` */
  readonly path: string
  /** The scope the caller needs, or null for an endpoint open to everybody: `receive` and `authenticate` do not run for it. */
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
  /**
   * JSON value, or text or bytes if `headers` names a content type. An `AsyncIterable<string>` (of a route, with a content
   * type) is written as fast as the client reads, and left when the client goes; what it throws breaks the answer off, so
   * that nobody takes a part for the whole.
   */
  readonly body?: unknown
}

/** What {@link Exchange.reply} may be told besides the text. */
export interface ReplyInit {
  /** HTTP status; default 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** What the answer says of its tokens; shown, never charged. Default: zero tokens. */
  readonly usage?: Usage
}

/** A reply with a JSON body, for routes and for hooks that answer before there is an exchange. */
export function jsonReply(body: unknown, init: Pick<ReplyInit, 'status' | 'headers'> = {}): Reply {
  return { status: init.status ?? 200, headers: init.headers ?? {}, body }
}

/**
 * Every prompt string of a request, in order: messages, the names and descriptions of tools, tool results, the wanted
 * form of the answer, files of text, `native` and `extra` parts, embedding input. Strings that only steer (roles, ids,
 * URLs) are left out, bytes in base64 too.
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
  /** Aborts when the client goes away or the gateway stops. Pass it on to whatever you await. */
  readonly signal: AbortSignal
  /** Request headers in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Read-only view; {@link Exchange.edit} changes it. */
  readonly request: GenerateRequest
  /** Copy-on-write: return a changed copy, never mutate. Ends byte passthrough of the request. */
  edit(change: (request: GenerateRequest) => GenerateRequest): void
  texts(): TextSlots
  /** Input tokens of the request as it is now, by the rule of thumb of four bytes of text each. Only counts: keeps byte passthrough. */
  estimateInputTokens(): number
  readonly principal: Principal
  /** Ids of the plugins with params that take part in this exchange: applied always, or named by the client. */
  readonly requestPlugins: readonly string[]
  /** What may be tried, in order. A `route` hook may assign a reordered or shorter list; nothing can be added that the principal may not use. */
  targets: readonly Target[]
  /** Takes a target off the list and records who did it, for `routing_error` and `hadrian_metadata`. */
  exclude(target: Target, removedBy: string): void
  /**
   * What a target would leave out of the request as it is now, without calling it: warnings with the parameter each. A
   * provider with a transport of its own cannot tell beforehand; of it only what its capabilities deny is listed. Costs
   * an encoding of the request.
   */
  losses(target: Target): readonly Warning[]
  /** Every attempt so far, in order; the one under way has no outcome yet. */
  readonly attempts: readonly AttemptRecord[]
  /** Sum over all billed calls so far. */
  readonly usage: Usage | undefined
  readonly warnings: readonly Warning[]
  warn(warning: Warning): void
  get<T>(key: StateKey<T>): T | undefined
  set<T>(key: StateKey<T>, value: T): void
  /** Sets a header of the answer; only before its first byte. */
  header(name: string, value: string): void
  /**
   * Does something that costs money besides tokens: a web search, the parsing of a document. What it costs at most is
   * reserved first, by every `reserve` hook; what `work` returns is handed on. Charged is `purchase.costMicros`, or what
   * `work` gave to `bill`; nothing if it throws before it called `bill`.
   *
   * @throws GatewayError of the `reserve` hook that refuses, `budget_exceeded` for one; what `work` throws
   */
  buy<T>(purchase: Purchase, work: (bill: (costMicros: number) => void) => Promise<T>): Promise<T>
  /** What was bought so far. */
  readonly purchases: readonly Purchase[]
  /** An answer of the plugin's own, as if a model had said `text`. Passes all active response hooks. */
  reply(text: string, init?: ReplyInit): Reply
}

/** Something besides tokens that an exchange pays for. Part of `usage.costMicros` once it is done. */
export interface Purchase {
  /** What it is, in snake_case: `web_search`, `document_pages`. */
  readonly item: string
  /** How many of them; default 1. */
  readonly quantity?: number
  /** Whole micro-dollars: before, the most it may cost; in {@link Exchange.purchases}, what it did. */
  readonly costMicros: number
}

/** What became of one attempt. */
export interface AttemptRecord {
  readonly target: Target
  /** When it started, by `clock.monotonicMs()`, as the two below. */
  readonly startedMs: number
  /** When its first event came; absent if none did. */
  readonly firstEventMs?: number
  readonly endedMs?: number
  /** Absent while it runs. */
  readonly outcome?: 'completed' | 'failed' | 'aborted'
  readonly error?: GatewayError
  readonly usage?: Usage
  /** It was begun beside another attempt that took long. */
  readonly hedge?: true
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
  /**
   * Input tokens that no tokenizer exceeds: one for each byte of text, and what the largest known images and files of
   * their size cost. For whoever must not be surprised by the bill.
   */
  readonly inputTokensCeiling: number
  /** Images of the request, for prices per image. */
  readonly images: number
  /** Output ceiling in tokens: the client's, or the largest of the targets; undefined if none is known. */
  readonly outputTokens: number | undefined
  /**
   * What is bought, where the call is none of a model but a {@link Purchase}: it has no targets then and no tokens, and
   * costs what it says.
   */
  readonly purchase?: Purchase
  /** Lowers the output ceiling of this call, with a warning to the client. */
  clamp(outputTokens: number, reason: string): void
}

/** How an exchange ended. */
export interface Outcome {
  /**
   * completed: the answer went out whole. refused: a hook or the kernel said no before any attempt was made. failed:
   * everything else that went wrong, the refusal of an answer that a provider gave too. aborted: the client went away.
   */
  readonly status: 'completed' | 'refused' | 'failed' | 'aborted'
  /** HTTP status the client saw or would have seen. */
  readonly httpStatus: number
  readonly error?: GatewayError
  readonly usage: Usage | undefined
  /** The target that answered. */
  readonly target?: Target
  readonly attempts: readonly AttemptRecord[]
  /** What was bought besides tokens; its cost is in `usage.costMicros`. */
  readonly purchases: readonly Purchase[]
  readonly finishReason?: string
  /** The plugin that answered or refused, or undefined for a provider or the kernel. */
  readonly plugin?: string
  readonly streamed: boolean
  /** Wall-clock start, milliseconds since 1970. */
  readonly startedAt: number
  readonly durationMs: number
  /** Milliseconds from the start until the first event was ready for the client. */
  readonly firstEventMs?: number
}
