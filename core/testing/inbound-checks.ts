import assert from 'node:assert/strict'
import { isGatewayError } from '../contract/errors.ts'
import type { Hooks, InboundCall } from '../contract/plugin.ts'

/** Headers that clients, scanners and broken proxies send. */
export const strangeHeaders: readonly InboundCall['headers'][] = [
  {},
  { authorization: '' },
  { authorization: 'Bearer' },
  { authorization: 'Basic dXNlcjpwYXNz' },
  { authorization: `Bearer ${'x'.repeat(8000)}`, 'content-length': '-1' },
  { authorization: 'Bearer \u00ff\u0001', 'x-api-key': '\u00ff', 'content-length': 'many' },
]

/** `receive` and `authenticate` return, or throw an error that a client may see; nobody is identified by nothing. */
export async function checkInbound(hooks: Hooks, headers: InboundCall['headers']): Promise<void> {
  let identified = false
  const call: InboundCall = {
    id: 'suite',
    method: 'POST',
    path: '/api/v1/chat/completions',
    query: {},
    headers,
    ip: '127.0.0.1',
    signal: new AbortController().signal,
    principal: undefined,
    identify: () => {
      identified = true
    },
  }
  for (const hook of ['receive', 'authenticate'] as const)
    try {
      await hooks[hook]?.(call)
    } catch (error) {
      assert.ok(isGatewayError(error), `${hook} threw what is no GatewayError: ${String(error)}`)
      assert.ok(error.status < 500, `${hook} answers ${error.status} to a strange call`)
      assert.ok(Object.keys(headers).length > 0, `${hook} refuses a call without any headers; return nothing instead`)
    }
  assert.ok(!identified || Object.keys(headers).length > 0, 'authenticate identifies a caller without credentials')
}
