/** The router alone, driven by hand: what it makes of a list of targets. */

import assert from 'node:assert/strict'
import type {
  AttemptRecord,
  Exchange,
  GenerateRequest,
  Hooks,
  JsonObject,
  ModelInfo,
  ModelPrices,
  Outcome,
  RoutingSuffix,
  StateKey,
  Target,
  Usage,
  Warning,
} from '@hadrian/core/plugin'
import { FakeClock } from '@hadrian/core/testing'
import { Ajv } from 'ajv'
import { createRouter } from '../../plugins/router/index.ts'
import { healthOf } from './fixed-health.ts'
import type { KnownHealth } from './fixed-health.ts'

/** What a test says of a target besides its name. */
export interface TargetInit extends Partial<Omit<ModelInfo, 'prices'>> {
  /** Dollars per million tokens, in and out alike. */
  readonly price?: number
  readonly prices?: ModelPrices
  readonly requested?: string
  readonly suffix?: RoutingSuffix
}

/** A target by its name, `provider/model`. */
export function target(name: string, init: TargetInit = {}): Target {
  const [provider = '', ...model] = name.split('/')
  const { price, prices, requested = 'model', suffix, ...facts } = init
  const known = prices ?? (price === undefined ? undefined : { input: price * 1e6, output: price * 1e6 })
  const info = { id: model.join('/'), ...facts, ...(known && { prices: known }) }
  return { provider, model: info.id, name, requested, ...(suffix && { suffix }), info }
}

/** What a request says besides its targets. */
export interface RequestInit extends Omit<Partial<GenerateRequest>, 'provider'> {
  readonly provider?: JsonObject
  readonly headers?: Readonly<Record<string, string>>
  readonly principal?: string
  readonly inputTokens?: number
  /** What each target would leave out. */
  readonly losses?: Readonly<Record<string, readonly Warning[]>>
}

/** What came of one routing. */
export interface Routed {
  readonly exchange: Exchange
  /** In their final order. */
  readonly names: readonly string[]
  readonly removed: Readonly<Record<string, string>>
  readonly warnings: readonly Warning[]
  /** Whether a new order was assigned. */
  readonly assigned: boolean
  /** Ends the exchange with an answer of this target. */
  settle(target: string, usage?: Partial<Usage>): void
}

/** A router that was set up. */
export interface TestedRouter {
  readonly clock: FakeClock
  readonly hooks: Hooks
  route(targets: readonly Target[], request?: RequestInit): Routed
}

/** How a router is set up for a test. */
export interface RouterInit {
  readonly options?: JsonObject
  readonly health?: Readonly<Record<string, KnownHealth>>
  /** Default: always 0, which chooses the first of several. */
  readonly random?: () => number
  /** What outlives a reload; default: nothing did. */
  readonly retained?: Map<string, object>
}

const ajv = new Ajv({ useDefaults: true, strict: false })

/** Sets the plugin up with options as the kernel would fill them in. */
export async function startRouter({
  options = {},
  health = {},
  random = () => 0,
  retained = new Map(),
}: RouterInit = {}): Promise<TestedRouter> {
  const plugin = createRouter({ random })
  const filled = structuredClone(options)
  const validate = ajv.compile(plugin.options)
  assert.ok(validate(filled), JSON.stringify(validate.errors))
  const clock = new FakeClock()
  const services = {
    options: filled,
    clock,
    catalog: { prices: ({ info }: Target) => info?.prices },
    'target-health': healthOf(health),
    retain: (name: string, create: () => object) => {
      if (!retained.has(name)) retained.set(name, create())
      return retained.get(name)
    },
  }
  const hooks = (await plugin.setup(services as unknown as Parameters<typeof plugin.setup>[0])) as Hooks
  return { clock, hooks, route: (targets, request = {}) => routed(hooks, targets, request) }
}

/** Routes with a router of its own. */
export async function route(
  targets: readonly Target[],
  request: RequestInit = {},
  init: RouterInit = {},
): Promise<Routed> {
  return (await startRouter(init)).route(targets, request)
}

function routed(hooks: Hooks, targets: readonly Target[], init: RequestInit): Routed {
  const { headers = {}, principal = 'tester', inputTokens = 0, losses = {}, ...request } = init
  const removed: Record<string, string> = {}
  const warnings: Warning[] = []
  const state = new Map<StateKey<unknown>, unknown>()
  let current = targets
  let assigned = false
  const exchange = {
    get targets() {
      return current
    },
    set targets(value: readonly Target[]) {
      assigned = true
      current = value
    },
    exclude(one: Target, removedBy: string) {
      assert.ok(current.includes(one), `${one.name} is taken off twice`)
      removed[one.name] = removedBy
      current = current.filter((other) => other !== one)
    },
    request: { operation: 'generate', dialect: 'chat', messages: [], stream: false, extra: {}, ...request },
    headers,
    principal: { id: principal },
    estimateInputTokens: () => inputTokens,
    losses: ({ name }: Target) => losses[name] ?? [],
    warn: (warning: Warning) => void warnings.push(warning),
    get: (key: StateKey<unknown>) => state.get(key),
    set: (key: StateKey<unknown>, value: unknown) => void state.set(key, value),
  } as unknown as Exchange
  assert.equal(hooks.route?.(exchange, {}), undefined, 'routing answers nothing, and at once')
  return {
    exchange,
    names: current.map(({ name }) => name),
    removed,
    warnings,
    assigned,
    settle(name, used) {
      const answered = targets.find((each) => each.name === name)!
      const usage = used && { inputTokens: 1000, outputTokens: 10, ...used }
      const attempt: AttemptRecord = { target: answered, startedMs: 0, outcome: 'completed', ...(usage && { usage }) }
      void hooks.settle?.(exchange, { target: answered, usage, attempts: [attempt] } as unknown as Outcome)
    },
  }
}
