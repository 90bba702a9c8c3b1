/** Plugins and providers with one fault each, under the suites that must find it. Run by the test of the suites. */

import { definePlugin } from '@hadrian/core/plugin'
import type { Hooks, ObjectSchema, PluginDefinition } from '@hadrian/core/plugin'
import { defineProvider, GatewayError, upstreamError } from '@hadrian/core/provider'
import type { HttpProvider, StreamEvent } from '@hadrian/core/provider'
import { pluginSuite, providerSuite, transportSuite } from '@hadrian/core/testing'
import type { RecordedAnswer } from '@hadrian/core/testing'

const none = { type: 'object', properties: {}, additionalProperties: false } as const

function plugin(name: string, hooks: () => Hooks, options: ObjectSchema = none): PluginDefinition {
  return definePlugin({ name, api: 1, options, setup: hooks })
}

const optionsOf = (properties: ObjectSchema['properties']): ObjectSchema => ({ ...none, properties })

pluginSuite(plugin('sound', () => ({ settle: () => undefined })))
pluginSuite(plugin('open-options', () => ({}), { type: 'object' }))
pluginSuite(plugin('unknown-hook', () => ({ onRequest: () => undefined }) as Hooks))
const shared: Hooks = { settle: () => undefined }
pluginSuite(plugin('shared-hooks', () => shared))
pluginSuite(
  plugin('fragile-stop', () => {
    let started = false
    return {
      start: () => void (started = true),
      stop() {
        if (!started) throw new Error('never started')
      },
    }
  }),
)
pluginSuite(
  plugin('left-timer', () => {
    const timer = setInterval(() => undefined, 60_000)
    // So that this process ends; a real one would not.
    setTimeout(() => clearInterval(timer), 2000)
    return {}
  }),
)
pluginSuite(
  definePlugin({
    name: 'left-clock-timer',
    api: 1,
    options: none,
    setup: ({ clock }) => ({ start: () => void clock.after(1000, () => undefined) }),
  }),
)
pluginSuite(plugin('open-door', () => ({ authenticate: (call) => call.identify({ id: 'anybody' }) })))
pluginSuite(
  plugin('throwing-settle', () => ({
    settle(_exchange, { status }) {
      if (status === 'aborted') throw new Error('not expected')
    },
  })),
)
pluginSuite(
  plugin('refusing', () => ({
    admit() {
      throw new GatewayError('no', 400, 'No')
    },
  })),
)

const secret = 'secret-of-the-operator'
const answer: StreamEvent[] = [
  { type: 'text', text: 'Hi' },
  { type: 'finish', reason: 'stop' },
]

const soundProvider: HttpProvider = {
  baseUrl: 'http://127.0.0.1:9',
  capabilities: { operations: ['generate'], dialects: {} },
  encode: (request) => ({
    wire: { method: 'POST', path: '/', headers: {}, body: { count: request.messages.length }, dialect: 'own' },
    warnings: [],
  }),
  decode: () => answer,
  decoder: () => ({ push: ({ data }) => (data === 'answer' ? answer : []), end: () => [] }),
  decodeError: (status) => upstreamError('suite', { status, message: `HTTP ${status}` }),
  authorize: (wire) => ({ ...wire, headers: { ...wire.headers, authorization: secret } }),
}

const answers: readonly RecordedAnswer[] = [
  { name: 'answer', dialect: 'own', status: 200, body: {}, records: [{ data: 'answer' }] },
  { name: 'unauthorized', dialect: 'own', status: 401, body: {} },
]

function provider(name: string, fault: Partial<HttpProvider>): void {
  const options = optionsOf({ api_key: { type: 'string', writeOnly: true, description: 'Key.' } })
  const definition = defineProvider({ name, api: 1, options, setup: () => ({ ...soundProvider, ...fault }) })
  const request = { operation: 'generate', dialect: 'chat', stream: false, messages: [], extra: {} } as const
  providerSuite(definition, { options: { api_key: secret }, answers, requests: [{ name: 'greeting', request }] })
}

provider('sound-provider', {})
provider('slash', { baseUrl: 'http://127.0.0.1:9/' })
provider('leaking-encode', {
  encode: (request, target) => {
    const { wire, warnings } = soundProvider.encode(request, target)
    return { wire: { ...wire, headers: { 'x-api-key': secret } }, warnings }
  },
})
let calls = 0
provider('impure-encode', {
  encode: (request, target) => {
    const { wire, warnings } = soundProvider.encode(request, target)
    return { wire: { ...wire, body: { id: calls++ } }, warnings }
  },
})
provider('partial-decoder', {
  decoder: () => ({
    push: ({ data }) => (data === 'answer' ? answer : (JSON.parse(data) as { events: StreamEvent[] }).events.slice()),
    end: () => [],
  }),
})
provider('two-finishes', { decode: () => [...answer, ...answer] })
provider('other-when-streamed', { decode: () => [{ type: 'text', text: 'Hello' }, answer[1]!] })
provider('leaking-error', {
  decodeError: (status, _headers, body) => upstreamError('suite', { status, message: JSON.stringify(body) ?? 'none' }),
})
provider('blaming-error', { decodeError: (status) => new GatewayError('provider_error', status, 'No') })
let records = 0
provider('shared-decoder', {
  decoder: () => ({ push: () => [{ type: 'text', text: String(records++) }, answer[1]!], end: () => [] }),
})

transportSuite(
  defineProvider({
    name: 'deaf-transport',
    api: 1,
    options: none,
    setup: () => ({
      capabilities: { operations: ['generate'], dialects: {} },
      async send() {
        return (async function* () {
          yield* answer
        })()
      },
    }),
  }),
)
