/** Sends what is made to hurt. */

import assert from 'node:assert/strict'
import type { RunningGateway } from './gateway.ts'
import type { Json } from './scripted-upstream.ts'

export const hello = [{ role: 'user', content: 'Hello' }]

/** Sends a body as it is; whatever comes back must be a good answer or a clean refusal. */
export async function sendHostile(
  running: RunningGateway,
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<number> {
  const response = await running.post(path, body, { headers })
  const text = await response.text()
  const shown = `${response.status} ${text.slice(0, 300)} for ${body.slice(0, 300).toString()}`
  assert.ok(response.status === 200 || (response.status >= 400 && response.status < 500), shown)
  if (response.status === 200) return 200
  const { error } = JSON.parse(text) as { error: Json }
  assert.equal(typeof error['code'], 'string', shown)
  assert.notEqual(error['code'], 'provider_error', shown)
  assert.ok(text.length < 20_000, `an error of ${text.length} characters`)
  assert.equal(response.headers.get('x-evil'), null)
  return response.status
}

/** The gateway still answers, and no object has got a property it should not have. */
export async function checkAlive(running: RunningGateway): Promise<void> {
  const messages = [{ role: 'user', content: 'Alive?' }]
  const alive = await running.post('/v1/chat/completions', { model: 'test/echo', messages })
  assert.match(await alive.text(), /You said: Alive\?/)
  assert.equal(({} as Json)['polluted'], undefined)
}
