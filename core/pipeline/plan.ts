import type { ValidateFunction } from 'ajv'
import type { HookName, Hooks, ObjectSchema, PluginDefinition } from '../contract/plugin.ts'

/** What the operator decides about a plugin besides its own options: the kernel's keys under `[plugins.NAME]`. */
export interface PluginSettings {
  /** Whether a plugin with `params` runs for every exchange or only where the client names it. */
  readonly apply: 'always' | 'on-request'
  /** Defaults for `params`. */
  readonly params: Readonly<Record<string, unknown>>
  /** Params a client cannot change. */
  readonly locked: readonly string[]
  /** A client may send `enabled: false` for a plugin that is applied always. */
  readonly clientMayDisable: boolean
  /** Deadline of each asynchronous hook, in milliseconds. */
  readonly timeoutMs: number
  readonly failure: 'closed' | 'open'
}

/** A plugin after `setup`. */
export interface ReadyPlugin {
  readonly definition: PluginDefinition
  readonly settings: PluginSettings
  readonly hooks: Hooks
}

/** A plugin that a client may name in `plugins`. */
export interface Requestable {
  readonly id: string
  readonly settings: PluginSettings
  readonly schema: ObjectSchema
  /** Checks params in place and fills in the defaults of the schema. */
  readonly validate: ValidateFunction
  /** The operator's defaults, validated. */
  readonly defaults: Readonly<Record<string, unknown>>
}

/** A plugin that may run for a request that does not name it. */
export interface Implicit {
  readonly requestable: Requestable
  readonly implied: NonNullable<Hooks['implied']>
}

/** One hook of one plugin, ready to call. */
export interface Step<H extends HookName> {
  readonly plugin: string
  readonly hook: H
  readonly call: NonNullable<Hooks[H]>
  readonly timeoutMs: number
  readonly failure: 'closed' | 'open'
  /** Set if the plugin runs only in exchanges for which it is active. */
  readonly requestable: Requestable | undefined
  /** Whether a hook of the answer is to see that of an exchange; absent: always. */
  readonly rewrites?: NonNullable<Hooks['rewrites']>
}

/** The steps of every hook, in the order they are walked. */
export type Steps = { readonly [H in HookName]: readonly Step<H>[] }

/** One line of `hadrian plan`. */
export interface PlanRow {
  readonly hook: HookName
  readonly position: number
  readonly plugin: string
  readonly why: string
}

/** What will run, compiled once at startup; the pipeline only walks its arrays. */
export interface Plan {
  /** In order. */
  readonly plugins: readonly ReadyPlugin[]
  readonly steps: Steps
  /** Names of plugins in the order in which their response hooks see an answer. */
  readonly responseOrder: readonly string[]
  readonly requestables: ReadonlyMap<string, Requestable>
  /** Those of them that may run without being named; empty costs nothing. */
  readonly implicit: readonly Implicit[]
  /** Some plugin guards the input of every exchange: it must see exactly what the upstream will. */
  readonly guardsInput: boolean
  /** Plugins that guard input in their `transform` hook, those a client may ask for too. */
  readonly inputGuards: ReadonlySet<string>
  readonly rows: readonly PlanRow[]
  readonly warnings: readonly string[]
}
