/** What the router does to the targets of a request, seen by which of them are called, in which order. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gatewayError } from '@hadrian/core/plugin'
import type { JsonObject } from '@hadrian/core/plugin'
import { fakeProvider, harness, textEvents } from '@hadrian/core/testing'
import type { Harness } from '@hadrian/core/testing'
import router from '../../plugins/router/index.ts'
import { startGateway } from '../e2e/gateway.ts'
import { fixedHealth } from './fixed-health.ts'

const full = { supported_parameters: ['tools', 'response_format', 'structured_outputs', 'reasoning'] }

/** `any` and `other` are served by several targets; of most of them something is known. */
const models: JsonObject = {
  any: { targets: ['a/plain', 'b/unknown', 'c/full', 'd/small'] },
  other: { targets: ['c/other', 'a/other'] },
  'a/plain': { supported_parameters: ['temperature'], context_length: 100_000 },
  'c/full': { ...full, context_length: 100_000 },
  'd/small': { ...full, context_length: 9000 },
}

/** A gateway whose upstreams all fail but for these, so that every target is tried in its turn. */
async function start(options: JsonObject = {}, answering: readonly string[] = []): Promise<Harness> {
  const provider = fakeProvider(({ target }) => {
    if (answering.includes(target.name)) return textEvents('Hello')
    throw gatewayError('provider_error', `Upstream provider returned error: ${target.name}`, { retryable: true })
  })
  return harness({
    provider,
    providers: ['a', 'b', 'c', 'd'].map((instance) => [provider.definition, {}, instance] as const),
    plugins: [fixedHealth(), [router, options]],
    config: { models, routing: { retries_per_target: 0, max_attempts: 20 } },
  })
}

/** The targets that were tried for a body. */
async function tried(options: JsonObject, body: JsonObject, dialect: 'chat' | 'responses' = 'chat'): Promise<string[]> {
  await using gateway = await start(options)
  assert.equal((await gateway.send({ model: 'any', ...body }, { dialect })).status, 502)
  return gateway.provider.calls.map(({ target }) => target.name)
}

describe('the order of targets', () => {
  it('is that of the catalog where nothing speaks for another', async () => {
    assert.deepEqual(await tried({}, {}), ['a/plain', 'b/unknown', 'c/full', 'd/small'])
  })

  it('begins with what the operator prefers', async () => {
    assert.deepEqual(await tried({ prefer: ['d', 'c/*'] }, {}), ['d/small', 'c/full', 'a/plain', 'b/unknown'])
    assert.deepEqual(await tried({ prefer: ['*/unknown'] }, {}), ['b/unknown', 'a/plain', 'c/full', 'd/small'])
  })

  const needing: Readonly<Record<string, readonly ['chat' | 'responses', JsonObject]>> = {
    tools: ['chat', { tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }] }],
    'a JSON object': ['chat', { response_format: { type: 'json_object' } }],
    'a JSON schema': ['chat', { response_format: { type: 'json_schema', json_schema: { name: 'a', schema: {} } } }],
    reasoning: ['chat', { reasoning: { effort: 'low' } }],
    'tools of responses': ['responses', { tools: [{ type: 'function', name: 'f', parameters: { type: 'object' } }] }],
    'a JSON schema of responses': ['responses', { text: { format: { type: 'json_schema', name: 'a', schema: {} } } }],
  }
  for (const [need, [dialect, body]] of Object.entries(needing))
    it(`puts last who cannot do it, and counts the unknown as able: ${need}`, async () => {
      assert.deepEqual(await tried({}, body, dialect), ['b/unknown', 'c/full', 'd/small', 'a/plain'])
      const preferred = await tried({ prefer: ['a', 'd'] }, body, dialect)
      assert.deepEqual(preferred, ['d/small', 'b/unknown', 'c/full', 'a/plain'])
    })

  it('puts last whose context is too small for all of the prompt', async () => {
    const long = { messages: [{ role: 'system', content: 'x'.repeat(20_000) }, { role: 'user', content: 'y'.repeat(20_000) }] } // prettier-ignore
    assert.deepEqual(await tried({ prefer: ['d'] }, long), ['a/plain', 'b/unknown', 'c/full', 'd/small'])
    const tool = { type: 'function', function: { name: 'f', description: 'z'.repeat(40_000) } }
    assert.deepEqual(await tried({ prefer: ['d'] }, { tools: [tool] }), ['b/unknown', 'c/full', 'a/plain', 'd/small'])
  })

  it('keeps the models of the client in their order', async () => {
    const models = { model: 'other', models: ['any', 'b/last'] }
    assert.deepEqual(await tried({ prefer: ['b', 'a'] }, models), [
      'a/other',
      'c/other',
      'b/unknown',
      'a/plain',
      'c/full',
      'd/small',
      'b/last',
    ])
  })
})

describe('excluded targets', () => {
  it('are never tried, and the metadata says why', async () => {
    await using gateway = await start({ exclude: ['a', '*/unknown'] }, ['c/full'])
    const headers = { 'x-hadrian-metadata': 'enabled' }
    const { status, body } = await gateway.send({ model: 'any' }, { headers })
    assert.equal(status, 200)
    assert.deepEqual(gateway.provider.calls.map(({ target }) => target.name), ['c/full']) // prettier-ignore
    const metadata = body['hadrian_metadata'] as JsonObject
    assert.deepEqual(metadata['targets'], ['c/full', 'd/small'])
    assert.deepEqual(metadata['excluded'], [
      { target: 'a/plain', removed_by: 'router: exclude "a"' },
      { target: 'b/unknown', removed_by: 'router: exclude "*/unknown"' },
    ])
  })

  it('stand in the error if none is left, whole or streamed, on every endpoint', async () => {
    await using gateway = await start({ exclude: ['*'] })
    for (const dialect of ['chat', 'responses', 'completions', 'embeddings'] as const)
      for (const stream of dialect === 'embeddings' ? [false] : [false, true]) {
        const { status, body } = await gateway.send({ model: 'other', ...(stream && { stream }) }, { dialect })
        assert.equal(status, 400)
        const error = body['error'] as JsonObject
        assert.equal(error['code'], 'routing_error')
        const details = error['details'] as JsonObject
        assert.deepEqual(details['requested'], ['other'])
        assert.deepEqual(details['candidates'], [
          { target: 'c/other', removed_by: 'router: exclude "*"' },
          { target: 'a/other', removed_by: 'router: exclude "*"' },
        ])
      }
    assert.equal(gateway.provider.calls.length, 0)
  })

  it('stay out when all others fail', async () => {
    assert.deepEqual(await tried({ exclude: ['c', 'd'] }, {}), ['a/plain', 'b/unknown'])
  })

  it('stand beside unknown models in the error', async () => {
    await using gateway = await start({ exclude: ['a'] })
    const { status, body } = await gateway.send({ models: ['nowhere/x', 'a/plain'], model: undefined })
    assert.equal(status, 400)
    assert.deepEqual(((body['error'] as JsonObject)['details'] as JsonObject)['candidates'], [
      { target: 'nowhere/x', removed_by: 'unknown model' },
      { target: 'a/plain', removed_by: 'router: exclude "a"' },
    ])
  })
})

describe('access', () => {
  it('is not widened by the router', async () => {
    await using gateway = await start({ prefer: ['a'] })
    const principal = { id: 'narrow', allowedModels: ['c/full', 'b/*'] }
    const { status } = await gateway.send({ model: 'any' }, { principal })
    assert.equal(status, 403)
    assert.equal(gateway.provider.calls.length, 0)
  })
})

describe('the bytes of the client', () => {
  it('go upstream as they came, though the router has counted the prompt', async () => {
    await using running = await startGateway({
      overrides: { plugins: [[fixedHealth()]] },
      config: {
        plugins: { router: { enabled: true } },
        models: {
          both: { targets: ['native/m', 'chat-only/m'] },
          'native/m': { context_length: 1000 },
          'chat-only/m': { context_length: 2000 },
        },
      },
    })
    const body = '{ "model":"both",  "messages":[{"role":"user","content":"Hello"}], "seed": 1.0 }'
    assert.equal((await running.post('/v1/chat/completions', body)).status, 200)
    const sent = running.upstream.last().bytes.toString('utf8')
    assert.equal(sent, body.replace('"both"', '"m"'))
  })
})
