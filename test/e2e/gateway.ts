/** A whole gateway on a real port, in front of a scripted upstream. */

import type { BootstrapKey } from '@hadrian/plugin-auth'
import OpenAI from 'openai'
import { defaultPlugins } from '../../core/boot/selection.ts'
import { createGateway } from '../../core/index.ts'
import type { Gateway, GatewayOverrides } from '../../core/index.ts'
import type { JsonObject, Outcome, Principal } from '../../core/contract/plugin.ts'
import { definePlugin, gatewayError } from '../../core/contract/plugin.ts'
import type { MemoryPlugin } from '../../core/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { openUpstream } from './scripted-upstream.ts'
import type { ScriptedUpstream } from './scripted-upstream.ts'

export interface GatewaySetup {
  /** Further content of `hadrian.toml`; `server` is merged. */
  readonly config?: JsonObject
  readonly overrides?: GatewayOverrides
  readonly environment?: Readonly<Record<string, string>>
  /** With the default plugins and a database, as an operator has it; else without both, and with {@link keys}. */
  readonly isComplete?: boolean
}

/** A gateway, its upstream, and clients for it. */
export interface RunningGateway extends AsyncDisposable {
  readonly gateway: Gateway
  readonly url: string
  readonly upstream: ScriptedUpstream
  /** May do everything but administer; in a complete gateway, the first key, which may do that too. */
  readonly key: string
  /** How every exchange ended, in order. */
  readonly outcomes: readonly Outcome[]
  /** The exchanges that have ended, once there are this many. */
  ended(count: number): Promise<readonly Outcome[]>
  /** OpenAI's own client. It does not retry, so that a test sees every failure. */
  client(options?: { readonly prefix?: string; readonly apiKey?: string }): OpenAI
  /** A request by hand. `body` that is no string or bytes is sent as JSON. */
  post(
    path: string,
    body: unknown,
    init?: { readonly headers?: Record<string, string>; readonly signal?: AbortSignal },
  ): Promise<Response>
  close(): Promise<void>
}

/** The instances in front of the upstream: what it speaks, by the prefix of the model name. */
export const instances = {
  native: {
    type: 'openai',
    dialects: ['chat', 'responses', 'completions', 'embeddings'],
    max_tokens_field: 'either',
    developer_role: true,
  },
  'chat-only': { type: 'openai', dialects: ['chat'] },
  'responses-only': { type: 'openai', dialects: ['responses'] },
} as const

/** Keys that {@link testKeys} knows. */
export const keys: Readonly<Record<string, Principal>> = {
  'key-full': { id: 'full', scopes: ['chat', 'models', 'completions', 'embeddings'] },
  'key-one-model': { id: 'one-model', allowedModels: ['native/gpt-upstream'] },
  'key-no-chat': { id: 'no-chat', scopes: ['models'] },
}

/** Knows a few keys, as a plugin that authenticates would. */
const testKeys = definePlugin({
  name: 'test-keys',
  api: 1,
  options: { type: 'object', properties: {}, additionalProperties: false },
  setup: () => ({
    authenticate(call) {
      const key = call.headers['authorization']?.replace(/^Bearer /i, '')
      if (key === undefined) return
      if (!Object.hasOwn(keys, key)) throw gatewayError('invalid_api_key', 'Invalid API key provided')
      call.identify(keys[key]!)
    },
  }),
})

function outcomeRecorder(recorded: (outcome: Outcome) => void): MemoryPlugin {
  return [
    definePlugin({
      name: 'test-outcomes',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({ settle: (_exchange, outcome) => recorded(outcome) }),
    }),
  ]
}

const silentLogger = { debug() {}, info() {}, warn() {}, error() {} }

/** Starts both. */
export async function startGateway(setup: GatewaySetup = {}): Promise<RunningGateway> {
  const upstream = await openUpstream()
  const outcomes: Outcome[] = []
  let waiting: { readonly count: number; readonly resolve: () => void }[] = []
  const recorded = (outcome: Outcome): void => {
    outcomes.push(outcome)
    for (const { resolve } of waiting.filter(({ count }) => outcomes.length >= count)) resolve()
    waiting = waiting.filter(({ count }) => outcomes.length < count)
  }
  const { config = {}, overrides = {}, isComplete = false } = setup
  const table = (name: string): JsonObject => (config[name] ?? {}) as JsonObject
  const gateway = await createGateway({
    environment: setup.environment ?? {},
    ...(isComplete && { dataDirectory: await preparedDataDirectory() }),
    config: {
      ...config,
      server: { port: 0, ...table('server') },
      routing: { default_provider: 'native', retries_per_target: 0, ...table('routing') },
      providers: {
        ...Object.fromEntries(
          Object.entries(instances).map(([name, options]) => [
            name,
            { ...options, base_url: `${upstream.url}/${name}/v1`, api_key: 'upstream-key' },
          ]),
        ),
        anthropic: { base_url: `${upstream.url}/anthropic`, api_key: 'upstream-key' },
        test: {},
        ...table('providers'),
      },
      plugins: {
        // Upstreams of tests fail on purpose, and are to be asked all the same.
        ...(isComplete
          ? { 'target-health': { breaker: { enabled: false } } }
          : Object.fromEntries(defaultPlugins.map((name) => [name, { enabled: false }]))),
        ...table('plugins'),
      },
    },
    overrides: {
      logger: silentLogger,
      ...overrides,
      plugins: [outcomeRecorder(recorded), ...(isComplete ? [] : [[testKeys] as const]), ...(overrides.plugins ?? [])],
    },
  })
  const { url = '' } = await gateway.start()
  const bootstrap = gateway.services.get('bootstrap-key') as BootstrapKey | undefined
  const key = (await bootstrap?.createFirstKey()) ?? 'key-full'
  const close = async (): Promise<void> => {
    await upstream.close()
    await gateway.stop()
  }
  return {
    gateway,
    url,
    upstream,
    key,
    outcomes,
    async ended(count) {
      if (outcomes.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }))
      return outcomes
    },
    client: ({ prefix = '/api/v1', apiKey = key } = {}) => new OpenAI({ baseURL: url + prefix, apiKey, maxRetries: 0 }),
    post: (path, body, { headers = {}, signal } = {}) =>
      fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
        body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
        ...(signal && { signal }),
      }),
    close,
    [Symbol.asyncDispose]: close,
  }
}
