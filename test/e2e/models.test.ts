/** The list of models over HTTP: its shape, what is known of targets, who sees what, and how long it takes. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Ajv } from 'ajv'
import { definePlugin } from '../../core/contract/plugin.ts'
import type { JsonObject, Target, TargetHealth } from '../../core/contract/plugin.ts'
import { schemaLibrary } from '../../core/services/schema-library.ts'
import models from '../../plugins/models/index.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'

/** Knows of one target that it is in trouble. */
const health = definePlugin({
  name: 'test-health',
  api: 1,
  options: { type: 'object', properties: {}, additionalProperties: false },
  provides: ['target-health'],
  setup: () => ({
    services: {
      'target-health': {
        state: ({ name }: Target) => (name === 'chat-only/large' ? 'open' : 'healthy'),
        latencyMs: () => undefined,
        throughput: () => undefined,
        inFlight: () => 0,
      } satisfies TargetHealth,
    },
  }),
})

const catalog: JsonObject = {
  smart: {
    aliases: ['clever'],
    name: 'Smart',
    context_length: 128_000,
    max_output_tokens: 16_000,
    input_modalities: ['text', 'image'],
    output_modalities: ['text'],
    supported_parameters: ['tools'],
    distillable: true,
    prices: { input_per_million: 2.5, output_per_million: 10, cached_input_per_million: 0.25, per_request: 0.001 },
    targets: [
      { target: 'native/large', weight: 3, data_policy: { training: false } },
      { target: 'chat-only/large', quantization: 'fp8', prices: { input_per_million: 0, output_per_million: 0 } },
    ],
  },
  'native/gpt-upstream': { context_length: 1000 },
}
const providers: JsonObject = {
  'chat-only': { slug: 'chat/eu', data_policy: { retention_days: 30, region: 'eu' } },
}

let running: RunningGateway
before(async () => {
  running = await startGateway({
    config: { models: catalog },
    overrides: { plugins: [[health]] },
  })
})
after(() => running.close())

async function get(path: string, key = 'key-full', at = running): Promise<{ status: number; body: JsonObject }> {
  const response = await fetch(at.url + path, { headers: { authorization: `Bearer ${key}` } })
  return { status: response.status, body: (await response.json()) as JsonObject }
}

const idsOf = (body: JsonObject): string[] => (body['data'] as { id: string }[]).map(({ id }) => id)

describe('the list of models', () => {
  it('has the shape of OpenAI, the fields of OpenRouter, and each target', async () => {
    const { status, body } = await get('/api/v1/models/smart')
    assert.equal(status, 200)
    const smart = {
      id: 'smart',
      object: 'model',
      created: 0,
      owned_by: 'native',
      name: 'Smart',
      provider: 'native',
      context_length: 128_000,
      max_output_tokens: 16_000,
      input_modalities: ['text', 'image'],
      output_modalities: ['text'],
      supported_parameters: ['tools'],
      architecture: { input_modalities: ['text', 'image'], output_modalities: ['text'] },
      top_provider: { context_length: 128_000, max_completion_tokens: 16_000 },
      distillable: true,
    }
    const pricing = {
      input_per_million: 2.5,
      output_per_million: 10,
      cached_input_per_million: 0.25,
      per_request: 0.001,
      prompt: '0.0000025',
      completion: '0.00001',
      input_cache_read: '0.00000025',
      request: '0.001',
    }
    const limits = { context_length: 128_000, max_output_tokens: 16_000 }
    const free = { input_per_million: 0, output_per_million: 0, prompt: '0', completion: '0' }
    assert.deepEqual(body, {
      ...smart,
      pricing,
      targets: [
        {
          provider: 'native',
          model: 'large',
          slug: 'native',
          ...limits,
          data_policy: { training: false },
          weight: 3,
          pricing,
          status: 'healthy',
        },
        {
          provider: 'chat-only',
          model: 'large',
          slug: 'chat-only',
          ...limits,
          quantization: 'fp8',
          pricing: free,
          status: 'open',
        },
      ],
    })
    assert.deepEqual((await get('/v1/models/clever')).body, { ...body, id: 'clever' })
  })

  it('fits its schema, and lists aliases, names of the config and what upstreams have', async () => {
    const ajv = new Ajv({ strict: false }).addSchema({ $id: 'library', definitions: schemaLibrary() })
    const { body } = await get('/api/v1/models')
    const fits = ajv.getSchema('library#/definitions/ModelList')!
    assert.ok(fits(body), JSON.stringify(fits.errors))
    for (const id of ['smart', 'clever', 'native/gpt-upstream', 'test/echo']) assert.ok(idsOf(body).includes(id), id)
    const one = (await get('/api/v1/models/native/gpt-upstream')).body
    assert.deepEqual(
      (body['data'] as JsonObject[]).find(({ id }) => id === 'native/gpt-upstream'),
      one,
    )
    assert.equal(one['context_length'], 1000)
  })

  it('shows a caller only what it may use', async () => {
    assert.deepEqual(idsOf((await get('/api/v1/models', 'key-one-model')).body), ['native/gpt-upstream'])
    for (const id of ['smart', 'clever', 'native/large', 'test/echo']) {
      const { status, body } = await get(`/api/v1/models/${id}`, 'key-one-model')
      assert.deepEqual([status, (body['error'] as JsonObject)['code']], [404, 'not_found'], id)
    }
  })

  it('says of a provider what its section says', async () => {
    await using other = await startGateway({
      config: {
        models: { 'up/a': {} },
        providers: { up: { type: 'test', ...(providers['chat-only'] as JsonObject) } },
      },
    })
    const { body } = await get('/v1/models/up/a', 'key-full', other)
    assert.deepEqual(body['targets'], [
      { provider: 'up', model: 'a', slug: 'chat/eu', data_policy: { retention_days: 30, region: 'eu' } },
    ])
  })
})

describe('a model that an administrator adds', () => {
  it('is listed, served and taken away by the next request, and wrong ones are refused', async () => {
    await using complete = await startGateway({
      isComplete: true,
      config: { plugins: { router: { enabled: false } } },
      overrides: { plugins: [[models]] },
    })
    const admin = async (
      method: string,
      path: string,
      body?: JsonObject,
    ): Promise<{ status: number; body: JsonObject }> => {
      const response = await fetch(`${complete.url}/admin/v1/models${path}`, {
        method,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${complete.key}` },
        ...(body && { body: JSON.stringify(body) }),
      })
      return { status: response.status, body: (await response.json()) as JsonObject }
    }
    const call = async (): Promise<Response> =>
      complete.post('/v1/chat/completions', { model: 'our/team', messages: [{ role: 'user', content: 'Hi' }] })
    assert.equal((await call()).status, 400)
    const refused = await admin('POST', '', { model: 'our/team', targets: ['nativ/gpt-upstream'] })
    assert.equal(refused.status, 400)
    const created = await admin('POST', '', {
      model: 'our/team',
      targets: ['native/gpt-upstream'],
      context_length: 90_000,
    })
    assert.equal(created.status, 201)
    assert.equal((await call()).status, 200)
    const listed = await get('/v1/models/our/team', complete.key, complete)
    assert.deepEqual([listed.status, listed.body['context_length']], [200, 90_000])
    const id = String(created.body['id'])
    assert.equal((await admin('GET', `/${id}`)).status, 200)
    assert.equal((await admin('DELETE', `/${id}`)).status, 200)
    assert.equal((await admin('GET', `/${id}`)).status, 404)
    assert.equal((await call()).status, 400)
    assert.equal((await get('/v1/models/our/team', complete.key, complete)).status, 404)
  })
})

describe('a list of thousands', () => {
  it('is whole, and other work goes on meanwhile', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, index) => [
        `model-${index}`,
        { targets: ['native/a', 'chat-only/a'], weight: 1 },
      ]),
    )
    await using large = await startGateway({ config: { models: many } })
    let turns = 0
    let isListed = false
    const turn = (): void => {
      turns++
      if (!isListed) setImmediate(turn)
    }
    const { catalog: served } = large.gateway.pipeline.services
    await served.models({ id: 'x' })
    turn()
    const listed = await served.models({ id: 'x' })
    isListed = true
    assert.ok(listed.length >= 2_000)
    assert.ok(turns >= 19, `${turns} turns of other work`)
    const { body } = await get('/v1/models', 'key-full', large)
    assert.equal(new Set(idsOf(body)).size, listed.length)
  })
})
