import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { gatewayError } from '../../core/contract/errors.ts'
import type { Catalog, JsonObject, ModelInfo } from '../../core/contract/plugin.ts'
import type { MemoryProvider } from '../../core/index.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'
import type { Harness } from '../../core/testing/index.ts'

/** An upstream whose list of models the test decides about. */
class Upstream {
  asked = 0
  answer: () => Promise<readonly ModelInfo[]> = () => Promise.resolve([{ id: 'm' }])

  /** As an instance called `up`, with these settings. */
  provider(settings: JsonObject = {}): MemoryProvider {
    const { definition } = fakeProvider()
    const models = (): Promise<readonly ModelInfo[]> => {
      this.asked++
      return this.answer()
    }
    return [
      {
        ...definition,
        name: 'up',
        setup: async (services) => ({ ...(await definition.setup(services)), models }),
      },
      settings,
    ]
  }
}

const catalogOf = (gateway: Harness): Catalog => gateway.gateway.pipeline.services.catalog
const idsOf = async (gateway: Harness): Promise<string[]> =>
  (await catalogOf(gateway).models({ id: 'x' })).map(({ id }) => id).toSorted()
const warningsOf = ({ log }: Harness): unknown[] =>
  log
    .filter(({ message }) => message === 'models of a provider could not be listed')
    .map(({ level, fields: { provider, error_code, reason, error } }) => [level, provider, error_code, reason, error])

describe('lists of models', () => {
  it('leave out an upstream that is down, with one short warning, and ask it again later', async () => {
    const upstream = new Upstream()
    const refused = new Error('connect ECONNREFUSED')
    upstream.answer = () =>
      Promise.reject(gatewayError('provider_error', 'Upstream provider returned error: no answer', { cause: refused }))
    await using gateway = await harness({ providers: [upstream.provider()] })
    for (let times = 0; times < 3; times++) assert.deepEqual(await idsOf(gateway), ['fake/fake-model'])
    assert.deepEqual(warningsOf(gateway), [
      ['warn', 'up', 'provider_error', 'Upstream provider returned error: no answer', undefined],
    ])
    assert.equal(upstream.asked, 1)
    upstream.answer = () => Promise.resolve([{ id: 'm' }])
    await gateway.clock.advance(30_000)
    assert.deepEqual(await idsOf(gateway), ['fake/fake-model', 'up/m'])
  })

  it('wait five seconds for an upstream that hangs, together, and not again', async () => {
    const upstream = new Upstream()
    upstream.answer = () => new Promise(() => undefined)
    await using gateway = await harness({ providers: [upstream.provider()] })
    let listed: string[] | undefined
    const listing = [idsOf(gateway), idsOf(gateway).then((ids) => (listed = ids))]
    await gateway.clock.advance(4_999)
    await turn()
    assert.equal(listed, undefined)
    await gateway.clock.advance(1)
    assert.deepEqual(await Promise.all(listing), [['fake/fake-model'], ['fake/fake-model']])
    assert.deepEqual(await idsOf(gateway), ['fake/fake-model'])
    assert.equal(upstream.asked, 1)
    assert.equal(gateway.clock.pending, 0)
  })

  it('are served as they were while they are asked for again', async () => {
    const upstream = new Upstream()
    await using gateway = await harness({ providers: [upstream.provider()] })
    assert.deepEqual(await idsOf(gateway), ['fake/fake-model', 'up/m'])
    await gateway.clock.advance(299_999)
    await idsOf(gateway)
    assert.equal(upstream.asked, 1)
    const late = Promise.withResolvers<readonly ModelInfo[]>()
    upstream.answer = () => late.promise
    await gateway.clock.advance(1)
    assert.deepEqual(await idsOf(gateway), ['fake/fake-model', 'up/m'])
    assert.equal(upstream.asked, 2)
    late.resolve([{ id: 'new' }])
    await turn()
    assert.deepEqual(await idsOf(gateway), ['fake/fake-model', 'up/new'])
    upstream.answer = () => Promise.reject(new Error('away'))
    await gateway.clock.advance(300_000)
    await idsOf(gateway)
    await turn()
    assert.deepEqual(await idsOf(gateway), ['fake/fake-model', 'up/new'])
    assert.equal(warningsOf(gateway).length, 1)
  })

  it('are given up when the gateway stops', async () => {
    const upstream = new Upstream()
    upstream.answer = () => new Promise(() => undefined)
    const gateway = await harness({ providers: [upstream.provider({ list_models: 'start' })] })
    assert.equal(upstream.asked, 1)
    await gateway.stop()
    assert.equal(gateway.clock.pending, 0)
    assert.deepEqual(warningsOf(gateway), [])
  })

  it('tell what targets can do, once they are known; what they say of prices charges nobody', async () => {
    const upstream = new Upstream()
    const said: ModelInfo = {
      id: 'm',
      contextLength: 4096,
      maxOutputTokens: 512,
      supportedParameters: ['tools'],
      prices: { input: 1, output: 2 },
    }
    upstream.answer = () => Promise.resolve([said])
    await using gateway = await harness({
      providers: [upstream.provider()],
      config: { models: { 'up/m': { max_output_tokens: 100 } } },
    })
    const catalog = catalogOf(gateway)
    assert.deepEqual(catalog.resolve('up/m')[0]!.info, { id: 'up/m', maxOutputTokens: 100 })
    const [listed] = await catalog.models({ id: 'x' }, 'up/m')
    const known = { id: 'up/m', contextLength: 4096, maxOutputTokens: 100, supportedParameters: ['tools'] }
    assert.deepEqual(catalog.resolve('up/m')[0]!.info, known)
    assert.deepEqual(listed?.prices, said.prices)
    assert.equal(catalog.price(catalog.resolve('up/m')[0]!, { inputTokens: 1e6, outputTokens: 1e6 }), undefined)
  })

  it('are asked for at the start, or never, where the operator wants it so', async () => {
    const upstream = new Upstream()
    const early = upstream.provider({ list_models: 'start' })
    await using gateway = await harness({ providers: [early, [early[0], { list_models: 'never' }, 'silent']] })
    await turn()
    assert.equal(upstream.asked, 1)
    assert.ok(catalogOf(gateway).suggestions('up/mm').includes('up/m'))
    assert.deepEqual(await idsOf(gateway), ['fake/fake-model', 'up/m'])
    assert.equal(upstream.asked, 1)
  })
})
