/** Refusals before there is an exchange: the operator finds them by the id that the client was given. */

import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { definePlugin, jsonReply } from '../../core/contract/plugin.ts'
import type { Logger } from '../../core/contract/plugin.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import type { Json } from './scripted-upstream.ts'

const secret = 'canary-credential'
const log: { readonly level: string; readonly fields: Json; readonly message: string }[] = []
const at =
  (level: string): Logger['info'] =>
  (fields, message) =>
    void log.push({ level, fields: { ...fields }, message })
const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }

const options = { type: 'object', properties: {}, additionalProperties: false } as const

/** Stands in for the plugin that knows API keys, and knows none. */
const auth = definePlugin({ name: 'auth', api: 1, options, setup: () => ({ authenticate: () => undefined }) })

const routed = definePlugin({
  name: 'routed',
  api: 1,
  options,
  setup: () => ({
    routes: [
      { method: 'GET', path: '/things/:id', scope: 'models', handle: () => jsonReply({}) },
      { method: 'POST', path: '/things', scope: 'models', handle: async (call) => jsonReply(await call.body()) },
    ],
  }),
})

let running: RunningGateway

before(async () => {
  running = await startGateway({
    config: { server: { body_limit_bytes: 1024 }, plugins: { auth: {} } },
    overrides: { logger, plugins: [[auth], [routed]] },
  })
})
after(() => running.close())

interface Refusal {
  readonly path: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

const json = { 'content-type': 'application/json', authorization: 'Bearer key-full' }
const chat = '/v1/chat/completions'

const table: readonly (readonly [what: string, refusal: Refusal, level: string, line: Json])[] = [
  [
    'no credential',
    { path: chat, headers: {} },
    'info',
    { route: chat, status: 401, error_code: 'missing_credentials' },
  ],
  [
    'a wrong credential',
    { path: chat, headers: { authorization: `Bearer ${secret}` } },
    'info',
    { route: chat, status: 401, error_code: 'invalid_api_key' },
  ],
  [
    'a missing scope',
    { path: chat, headers: { authorization: 'Bearer key-no-chat' } },
    'info',
    { route: chat, status: 403, error_code: 'insufficient_scope' },
  ],
  ['what is no JSON', { path: chat, body: '{' }, 'info', { route: chat, status: 400, error_code: 'invalid_json' }],
  [
    'a large body',
    { path: chat, body: JSON.stringify('x'.repeat(2000)) },
    'info',
    { route: chat, status: 413, error_code: 'request_too_large' },
  ],
  [
    'another type of body',
    { path: chat, headers: { ...json, 'content-type': 'text/plain' } },
    'info',
    { route: chat, status: 415, error_code: 'unsupported_media_type' },
  ],
  [
    'a route of a plugin, by its pattern',
    { method: 'GET', path: `/things/${secret}?key=${secret}`, headers: {} },
    'info',
    { method: 'GET', route: '/things/:id', status: 401, error_code: 'missing_credentials' },
  ],
  [
    'a body for a route of a plugin',
    { path: '/things', body: '[' },
    'info',
    { route: '/things', status: 400, error_code: 'invalid_json' },
  ],
  [
    'another method',
    { method: 'PUT', path: chat },
    'debug',
    { method: 'PUT', route: chat, status: 405, error_code: 'method_not_allowed' },
  ],
  ['no such path', { path: `/${secret}` }, 'debug', { route: 'other', status: 404, error_code: 'not_found' }],
]

for (const [what, { path, method = 'POST', headers = json, body = '{}' }, level, line] of table)
  it(`are one line of the log: ${what}`, async () => {
    log.length = 0
    const response = await fetch(running.url + path, {
      method,
      headers: { ...headers, 'x-request-id': 'id-of-the-client' },
      ...(method !== 'GET' && { body }),
    })
    const { error } = (await response.json()) as { error: Json }
    assert.equal(error['request_id'], 'id-of-the-client')
    assert.deepEqual(log, [
      { level, fields: { request: 'id-of-the-client', method: 'POST', ...line }, message: 'request refused' },
    ])
    assert.ok(!JSON.stringify(log).includes(secret))
  })

it('of a body that is no request has its id in the line of the exchange, with the field', async () => {
  log.length = 0
  const response = await fetch(running.url + chat, {
    method: 'POST',
    headers: { ...json, 'x-request-id': 'id-of-the-client' },
    body: JSON.stringify({ model: 'native/m', messages: [], provider: { order: ['a'] } }),
  })
  assert.equal(response.status, 400)
  const { error } = (await response.json()) as { error: Json }
  const [entry, ...others] = log
  assert.deepEqual(others, [])
  assert.equal(entry?.message, 'exchange')
  const { exchange, ...fields } = entry.fields
  assert.notEqual(exchange, 'id-of-the-client')
  assert.deepEqual(fields, {
    request: 'id-of-the-client',
    principal: 'full',
    operation: 'generate',
    dialect: 'chat',
    outcome: 'refused',
    status: 400,
    error_code: error['code'],
    param: error['param'],
  })
  assert.ok(error['param'])
})

it('tell a credential of another kind from none', async () => {
  const messageFor = async (gateway: RunningGateway, headers: Record<string, string>): Promise<unknown> => {
    const response = await fetch(gateway.url + chat, { method: 'POST', headers, body: '{}' })
    const { error } = (await response.json()) as { error: Json }
    assert.equal(response.status, 401)
    assert.equal(error['code'], 'missing_credentials')
    return error['message']
  }
  const unknown = 'The credential is not one this gateway knows'
  assert.match(String(await messageFor(running, {})), /^No API key provided/)
  assert.equal(await messageFor(running, { 'x-api-key': 'sk-other' }), `${unknown}; its keys begin with gw_live_`)
  await using withoutKeys = await startGateway()
  assert.equal(await messageFor(withoutKeys, { 'x-api-key': 'sk-other' }), unknown)
})
