/**
 * The plugin contract: everything a plugin package imports from `@hadrian/core/plugin`.
 *
 * Rules to remember: return nothing to continue, return a {@link Reply} to answer, throw a `GatewayError` to refuse.
 */

import type { GenerateRequest, JsonObject, StreamEvent } from './canonical.ts'
import type { Attempt, BillableCall, Exchange, InboundCall, Outcome, Reply, Route } from './exchange.ts'
import type { ObjectSchema, OptionsOf } from './options.ts'
import type { Target } from './provider.ts'
import type { Awaitable, Services } from './services.ts'

export { AnswerBuilder, answerOf, eventsOf } from './answer.ts'
export type { Answer, AnswerChoice } from './answer.ts'
export { mapTexts, someText } from './answer-texts.ts'
export { askedAnswers } from './asked-answers.ts'
export * from './canonical.ts'
export { GatewayError, gatewayError, invalidRequest, isGatewayError, errorCodes } from './errors.ts'
export type { ErrorCode, GatewayErrorInit, RequestMistake } from './errors.ts'
export * from './exchange.ts'
export { isUuid, readTime } from './fields.ts'
export type { ReportMistake } from './fields.ts'
export { ChangeFollower } from './change-follower.ts'
export type { ChangeFollowerOptions } from './change-follower.ts'
export { ownerKinds } from './identity.ts'
export type { Identity, OwnerKind } from './identity.ts'
export type { ObjectSchema, OptionsOf, Schema } from './options.ts'
export { budgetPeriods, limitsBody, readLimits } from './limits.ts'
export type { BudgetLimit, BudgetPeriod, Limits, RateLimits } from './limits.ts'
export {
  checkKnown,
  dataPolicyBody,
  modelInfoBody,
  modelInfoFields,
  quantizations,
  readModelInfo,
} from './model-info.ts'
export type { DataPolicy, ModelFacts, ModelInfo, ModelPrices, PriceTier, RoutingSuffix, Target } from './provider.ts'
export * from './services.ts'
export { priceFields, pricesBody, readPrices } from './prices.ts'
export { pageBody, readPage } from './page.ts'
export type { Page, PageBody } from './page.ts'
export { readProviderPreferences } from './provider-preferences.ts'
export type { PercentileLimits, PriceLimits, ProviderPreferences, ProviderSort } from './provider-preferences.ts'
export { parseRetryAfter } from './upstream-error.ts'
export { stateKey } from './state.ts'
export type { StateKey } from './state.ts'
export { createMatcher } from './text-matcher.ts'
export type { Matcher, MatcherOptions } from './text-matcher.ts'

/** The contract version a plugin is written for. The kernel accepts this number only. */
export const pluginApi = 1

/** Continues inward: the next `dispatch` hook, and at last the provider. May be called again, for another turn. */
export type Dispatch = (request?: GenerateRequest) => Promise<Reply>

/**
 * The hooks of a plugin; implement those you need. `params` is what the client sent for this plugin in `plugins`, or the
 * operator's defaults if it sent nothing, with the locked params laid over it; empty where the plugin declares none.
 *
 * A plugin with `params` is active for an exchange if the client named it, the operator applies it always, or it is
 * {@link Hooks.implied}. Such a plugin may implement `transform` and later hooks only.
 */
export interface Hooks<P = unknown> {
  /**
   * Whether a plugin with `params` takes part in an exchange that does not name it: the operator's defaults are its params
   * then. Asked once, synchronously, for every request whose candidates are known and that neither names nor disables the
   * plugin, so it must be cheap. `targets` are the candidates before any hook has sorted or filtered them. Leave it out
   * for a plugin that runs on request only.
   */
  implied?(request: GenerateRequest, targets: readonly Target[]): boolean
  /** First, headers only, body not read. Sequential. */
  receive?(call: InboundCall): Awaitable<Reply | void>
  /** Headers only. Recognise the credential and `identify`; recognise and reject: throw; else return nothing. */
  authenticate?(call: InboundCall): Awaitable<Reply | void>
  /** The principal and the candidates are known. */
  authorize?(exchange: Exchange, params: P): Awaitable<Reply | void>
  /** Take a slot, count a request. Whatever is taken here is given back in `settle`. */
  admit?(exchange: Exchange, params: P): Awaitable<Reply | void>
  /** Order and filter `exchange.targets`. */
  route?(exchange: Exchange, params: P): Awaitable<Reply | void>
  /** Look at and change the request, answer instead of a model. */
  transform?(exchange: Exchange, params: P): Awaitable<Reply | void>
  /** Around everything that talks to providers. */
  dispatch?(exchange: Exchange, next: Dispatch): Promise<Reply>
  /** Before every billable call; throw to refuse it. */
  reserve?(exchange: Exchange, call: BillableCall): Awaitable<void>
  /** Around one try of one target; `next` resolves at the first event of the answer. */
  attempt?(exchange: Exchange, attempt: Attempt, next: () => Promise<Reply>): Promise<Reply>
  /** Sees every event, changes none; keeps byte passthrough. Must not throw. */
  observe?(exchange: Exchange, event: StreamEvent): void
  /**
   * Whether `event`, `flush` and `stream` of this plugin are to see the answer of this exchange. Where no plugin wants to,
   * the upstream's own bytes go out. Asked when an answer comes in, perhaps more than once: it must be cheap and say the
   * same each time. Leave it out for a plugin that sees every answer; one that guards output cannot have it.
   */
  rewrites?(exchange: Exchange, params: P): boolean
  /** Sync, per event, in reverse order of plugins. Return another event, several, null to drop it, nothing to keep it. */
  event?(exchange: Exchange, event: StreamEvent, params: P): StreamEvent | readonly StreamEvent[] | null | void
  /** Before `finish`, and when the upstream was cut: release what `event` held back. */
  flush?(exchange: Exchange, params: P): readonly StreamEvent[] | void
  /** Rewrites the whole stream; costs latency and is shown as such by `hadrian plan`. */
  stream?(exchange: Exchange, events: AsyncIterable<StreamEvent>, params: P): AsyncIterable<StreamEvent>
  /** Once per exchange, always, in reverse order; a throw is logged and stops nobody else. */
  settle?(exchange: Exchange, outcome: Outcome): Awaitable<void>
  /**
   * What this plugin would do with the exchange, for `POST /api/v1/explain`: the limits that hold and what is left of
   * them, the price it reckons with. Nothing may be taken, counted, sent or changed. Return nothing if there is nothing
   * to say.
   */
  explain?(exchange: Exchange, params: P): Awaitable<JsonObject | void>
  /** After every `setup`, in plugin order; the database is migrated. A throw stops the start. */
  start?(): Awaitable<void>
  /** In reverse order; also without `start`, and safe to call twice. */
  stop?(): Awaitable<void>
  readonly routes?: readonly Route[]
  /** What of the definition's `guardrail` is left, where the operator's options switch some of it off. */
  readonly guardrail?: { readonly input?: boolean; readonly output?: boolean }
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

/** The name of such a hook. */
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
  /** Deadline of each asynchronous hook in milliseconds, where the operator sets no `timeout_ms`. Default 5,000. */
  readonly timeoutMs?: number
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
