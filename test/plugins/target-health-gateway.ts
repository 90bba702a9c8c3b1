/** A gateway in memory with the plugin `target-health` and two providers, and what its tests ask of it. */

import type {
  Exchange,
  Hooks,
  JsonObject,
  PluginDefinition,
  RouteCall,
  Target,
  TargetHealth,
} from '../../core/contract/plugin.ts'
import { upstreamError } from '../../core/contract/provider.ts'
import type { GatewayError, StreamEvent } from '../../core/contract/provider.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { FakeCall, FakeProvider, FakeScript, Harness } from '../../core/testing/index.ts'
import targetHealth from '../../plugins/target-health/index.ts'

export interface HealthGateway extends AsyncDisposable {
  readonly gateway: Harness
  readonly fake: FakeProvider
  readonly backup: FakeProvider
  readonly health: TargetHealth
  /** Statuses of so many calls of a model, one after the other. */
  statuses(count: number, model?: string): Promise<number[]>
  /** What the `explain` hook says of targets. */
  explain(...names: readonly string[]): unknown
  /** What the admin API answers. */
  ask(method: string, path: string, body?: JsonObject): Promise<{ readonly status: number; readonly body: JsonObject }>
}

export interface HealthSetting {
  readonly options?: JsonObject
  readonly fake?: FakeScript
  readonly backup?: FakeScript
  readonly plugins?: readonly PluginDefinition[]
  readonly config?: JsonObject
}

/** `both` is a model with a target at each provider, `fake/a` first. */
export async function healthGateway(setting: HealthSetting = {}): Promise<HealthGateway> {
  const setups: Hooks[] = []
  const observed: PluginDefinition = {
    ...(targetHealth as PluginDefinition),
    async setup(services) {
      setups.push(await (targetHealth as PluginDefinition).setup(services))
      return setups.at(-1)!
    },
  }
  const fake = fakeProvider(setting.fake)
  const backup = fakeProvider(setting.backup)
  const gateway = await harness({
    provider: fake,
    providers: [[{ ...backup.definition, name: 'backup' }]],
    plugins: [[observed, setting.options ?? {}], ...(setting.plugins ?? [])],
    config: {
      ...setting.config,
      routing: { default_provider: 'fake', retries_per_target: 0 },
      models: { both: { targets: ['fake/a', 'backup/b'] } },
    },
  })
  return {
    gateway,
    fake,
    backup,
    get health() {
      return setups.at(-1)!.services!['target-health'] as TargetHealth
    },
    async statuses(count, model = 'fake/a') {
      const statuses: number[] = []
      for (let call = 0; call < count; call++) statuses.push((await gateway.send({ model })).status)
      return statuses
    },
    explain: (...names) => setups.at(-1)!.explain!({ targets: names.map(target) } as unknown as Exchange, {}),
    async ask(method, path, body = {}) {
      for (const route of setups.at(-1)!.routes ?? []) {
        const params = route.method === method ? matched(route.path, path) : undefined
        if (!params) continue
        const call = { params, query: {}, body: () => Promise.resolve(body) } as unknown as RouteCall
        try {
          const reply = await route.handle(call, { id: 'admin' })
          return { status: reply.status, body: reply.body as JsonObject }
        } catch (error) {
          return { status: (error as GatewayError).status, body: { code: (error as GatewayError).code } }
        }
      }
      throw new Error(`no route ${method} ${path}`)
    },
    [Symbol.asyncDispose]: () => gateway.stop(),
  }
}

function matched(pattern: string, path: string): Record<string, string> | undefined {
  const [wanted, given] = [pattern.split('/'), path.split('/')]
  if (wanted.length !== given.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, segment] of wanted.entries())
    if (segment.startsWith(':')) params[segment.slice(1)] = given[index]!
    else if (segment !== given[index]) return undefined
  return params
}

export function target(name: string): Target {
  const [provider = '', model = ''] = name.split('/')
  return { provider, model, name, requested: name }
}

/** A failed answer of an upstream. */
export function failedWith(
  status: number,
  more: { readonly code?: string; readonly message?: string; readonly retryAfter?: string } = {},
): GatewayError {
  const { code, message = 'scripted', retryAfter } = more
  return upstreamError('fake', {
    status,
    message,
    ...(code !== undefined && { code }),
    ...(retryAfter !== undefined && { headers: { 'retry-after': retryAfter } }),
  })
}

/** Fails as long as `isDown`; counts the calls. */
export function switchable(error: () => Error = () => failedWith(500)): FakeScript & { isDown: boolean } {
  const script = Object.assign(
    () => {
      if (script.isDown) throw error()
      return textEvents('Hello there.')
    },
    { isDown: true },
  )
  return script
}

/** Answers whose end the test decides: each call waits, after its first events, for its turn. */
export function held(): {
  readonly script: FakeScript
  readonly open: ({ readonly call: FakeCall } & { finish(): void; cut(): void })[]
} {
  const open: ({ readonly call: FakeCall } & { finish(): void; cut(): void })[] = []
  return {
    open,
    script: async function* (call): AsyncGenerator<StreamEvent> {
      const events = textEvents('one two three')
      const end = Promise.withResolvers<boolean>()
      end.promise.catch(() => undefined)
      open.push({ call, finish: () => end.resolve(true), cut: () => end.resolve(false) })
      call.signal.addEventListener('abort', () => end.reject(call.signal.reason as Error))
      yield* events.slice(0, 2)
      if (await end.promise) yield* events.slice(2)
    },
  }
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Waits until something is true. */
export async function until(isTrue: () => boolean): Promise<void> {
  for (let turns = 0; !isTrue(); turns++) {
    if (turns > 1000) throw new Error('it never came true')
    await turn()
  }
}
