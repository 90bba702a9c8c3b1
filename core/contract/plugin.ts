/**
 * The plugin contract: everything a plugin package imports from `@hadrian/core/plugin`.
 *
 * Rules to remember: return nothing to continue, return a {@link Reply} to answer, throw a `GatewayError` to refuse.
 */

import type { GenerateRequest, StreamEvent } from './canonical.ts'
import type { Attempt, BillableCall, Exchange, InboundCall, Outcome, Reply, Route } from './exchange.ts'
import type { ObjectSchema, OptionsOf } from './options.ts'
import type { Awaitable, Services } from './services.ts'

export { AnswerBuilder, answerOf, eventsOf } from './answer.ts'
export type { Answer, AnswerChoice } from './answer.ts'
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
export type { ModelInfo, ModelPrices, PriceTier, Target } from './provider.ts'
export * from './services.ts'
export { priceFields, pricesBody, readPrices } from './prices.ts'
export { pageBody, readPage } from './page.ts'
export type { Page, PageBody } from './page.ts'
export { stateKey } from './state.ts'
export type { StateKey } from './state.ts'

/** The contract version a plugin is written for. The kernel accepts this number only. */
export const pluginApi = 1

/** Continues inward: the next `dispatch` hook, and at last the provider. May be called again, for another turn. */
export type Dispatch = (request?: GenerateRequest) => Promise<Reply>

type RequestHook<P> = (exchange: Exchange, params: P) => Awaitable<Reply | void>

/**
 * The hooks of a plugin; implement those you need. `params` is what the client sent for this plugin in `plugins`, or the
 * operator's defaults if it sent nothing, with the locked params laid over it; empty where the plugin declares none.
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
