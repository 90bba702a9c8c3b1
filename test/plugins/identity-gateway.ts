/** Gateways with the plugin `identity` and an administrator, over real HTTP. */
import assert from 'node:assert/strict'
import { defaultPlugins } from '../../core/boot/selection.ts'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { definePlugin } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { FakeClock, fakeProvider } from '../../core/testing/index.ts'
import identity from '../../plugins/identity/index.ts'
import type { Identity } from '../../core/contract/plugin.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

export interface IdentityGateway extends AsyncDisposable {
  readonly identity: Identity
  readonly clock: FakeClock
  /** `http://127.0.0.1:PORT`; `admin` is the key of the administrator. */
  readonly url: string
  /** Calls `/admin/v1` and expects this status; the body of the answer. */
  call(method: string, path: string, status: number, body?: unknown): Promise<JsonObject>
  /** The same for a refusal, maybe of somebody else: its error object. */
  refused(
    method: string,
    path: string,
    status: number,
    body?: unknown,
    caller?: 'admin' | 'user' | 'nobody',
  ): Promise<JsonObject>
  /** The same for any answer: its status. */
  any(method: string, path: string, body?: unknown): Promise<number>
}

/** Starts one on a database that the test opens and closes. */
export async function identityGateway(database: OpenedDatabase, options: JsonObject = {}): Promise<IdentityGateway> {
  let service: Identity | undefined
  const clock = new FakeClock()
  const consumer = definePlugin({
    name: 'administrator',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    requires: ['identity'],
    setup: ({ identity: provided }) => {
      service = provided as Identity
      return {
        authenticate: (call) => {
          const { 'x-api-key': key, authorization } = call.headers
          if (key === 'admin' || authorization === 'Bearer admin') call.identify({ id: 'operator', scopes: ['admin'] })
          else if (key === 'user') call.identify({ id: 'user', scopes: ['chat'] })
        },
      }
    },
  })
  const gateway = await createGateway({
    environment: {},
    config: {
      server: { host: '127.0.0.1', port: 0, shutdown_timeout_ms: 100 },
      routing: { default_provider: 'fake' },
      plugins: Object.fromEntries(
        defaultPlugins.filter((name) => name !== 'identity').map((name) => [name, { enabled: false }]),
      ),
    },
    overrides: {
      clock,
      logger,
      database,
      plugins: [[identity, options], [consumer]],
      providers: [[fakeProvider().definition]],
    },
  })
  const { url } = await gateway.start()
  const send = (method: string, path: string, body: unknown, caller = 'admin'): Promise<Response> =>
    fetch(`${url}/admin/v1${path}`, {
      method,
      headers: {
        ...(caller !== 'nobody' && { 'x-api-key': caller }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    })
  const call = async (
    method: string,
    path: string,
    status: number,
    body?: unknown,
    caller?: string,
  ): Promise<JsonObject> => {
    const response = await send(method, path, body, caller)
    const text = await response.text()
    assert.equal(response.status, status, `${method} ${path}: ${text}`)
    return JSON.parse(text) as JsonObject
  }
  return {
    get identity() {
      return service!
    },
    clock,
    url: url!,
    call,
    refused: async (...input) => (await call(...input))['error'] as JsonObject,
    async any(method, path, body) {
      const response = await send(method, path, body)
      await response.text()
      return response.status
    },
    [Symbol.asyncDispose]: () => gateway.stop(),
  }
}
