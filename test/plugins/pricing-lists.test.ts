import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { calcPrice, findProvider } from '@pydantic/genai-prices'
import type { Provider } from '@pydantic/genai-prices'
import * as fc from 'fast-check'
import { priceOf } from '../../core/services/prices.ts'
import { BuiltInPrices } from '../../plugins/pricing/built-in-prices.ts'
import { findListed, pricesAt } from '../../plugins/pricing/price-list.ts'
import { priceListOf, readPriceLists } from '../../plugins/pricing/price-reader.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
/** Lists with every shape of price there is: tiers, dates, hours of the day, audio, requests, fallbacks. */
const ids = [
  'openai',
  'anthropic',
  'google',
  'deepseek',
  'azure',
  'perplexity',
  'openrouter',
  'x-ai',
  'mistral',
  'groq',
]
/** What is priced by the token, and by the request; anything else a model may bill is not charged. */
const charged = new Set([
  'input_mtok', 'output_mtok', 'cache_read_mtok', 'cache_write_mtok', 'cache_write_1h_mtok', 'output_reasoning_mtok',
  'input_audio_mtok', 'output_audio_mtok', 'cache_audio_read_mtok', 'requests_kcount', 'web_searches_kcount',
  'storage_searches_kcount', 'input_image_mtok', 'cache_image_read_mtok', 'output_image_mtok', 'input_video_mtok',
]) // prettier-ignore

function provider(id: string): Provider {
  const found = findProvider({ providerId: id })
  assert(found)
  return found
}

describe('built-in prices', () => {
  for (const id of ids)
    it(`cost what the package says, for every model of ${id} at any time`, () => {
      const list = priceListOf(provider(id))
      const fallbacks = list.fallbacks.map((fallback) => priceListOf(provider(fallback)))
      assert.ok(list.models.length > 5)
      const tokens = fc.oneof(fc.nat(1_000), fc.nat(500_000))
      const times = fc.date({ min: new Date('2024-01-01'), max: new Date('2028-01-01'), noInvalidDate: true })
      const usages = fc.record({
        fresh: tokens,
        cached: tokens,
        written: tokens,
        hour: tokens,
        audio: fc.nat(1_000),
        text: tokens,
        thought: tokens,
        spoken: fc.nat(1_000),
      })
      fc.assert(
        fc.property(fc.constantFrom(...list.models), usages, times, ({ id: model }, parts, timestamp) => {
          const inputTokens = parts.fresh + parts.cached + parts.written + parts.hour + parts.audio
          const outputTokens = parts.text + parts.thought + parts.spoken
          const expected = calcPrice(
            {
              input_tokens: inputTokens,
              cache_read_tokens: parts.cached,
              cache_write_tokens: parts.written + parts.hour,
              cache_write_1h_tokens: parts.hour,
              cache_audio_read_tokens: 0,
              input_audio_tokens: parts.audio,
              output_tokens: outputTokens,
              output_reasoning_tokens: parts.thought,
              output_audio_tokens: parts.spoken,
            },
            model,
            { providerId: id, timestamp },
          )
          const found = findListed(list, fallbacks, model)
          if (!expected || Object.keys(expected.model_price).some((key) => !charged.has(key))) return
          if (!found) return assert.equal(expected.model_price['input_mtok'], undefined)
          const cost = priceOf(pricesAt(found.model.prices, timestamp.getTime()), {
            inputTokens,
            cachedInputTokens: parts.cached,
            cacheWriteTokens: parts.written + parts.hour,
            cacheWrite1hTokens: parts.hour,
            audioInputTokens: parts.audio,
            outputTokens,
            reasoningTokens: parts.thought,
            audioOutputTokens: parts.spoken,
          })
          const exact = expected.total_price * 1_000_000
          assert.ok(
            Math.abs(cost - exact) < 1.01,
            `${id}/${model} at ${timestamp.toISOString()}: ${cost}, not ${exact}`,
          )
        }),
        { numRuns: 1_000 },
      )
    })

  it('find the model that the package finds, by any of its spellings', () => {
    const openai = priceListOf(provider('openai'))
    const azure = priceListOf(provider('azure'))
    const fallbacks = azure.fallbacks.map((id) => priceListOf(provider(id)))
    const names = ['gpt-4o', 'GPT-4o', ' gpt-4o-2024-08-06', 'gpt-4o-20240806', 'gpt-4o-20241341', 'gpt-4o-mini', 'o3',
      'ft:gpt-4o-2024-08-06:acme::x', 'gpt-5.6-sol-2026-12-31', 'nonsense', '', 'text-embedding-3-small', 'whisper-1',
      'claude-sonnet-4-5', 'grok-4', 'deepseek-chat'] // prettier-ignore
    for (const [list, others] of [
      [openai, []],
      [azure, fallbacks],
    ] as const)
      for (const name of names) {
        const expected = calcPrice({ input_tokens: 0, output_tokens: 0 }, name, { providerId: list.id })
        const isByToken = expected && 'input_mtok' in expected.model_price
        assert.equal(findListed(list, others, name)?.model.id, isByToken ? expected.model.id : undefined, name)
      }
  })

  it('know a model by what upstreams put around its name', () => {
    const found = (list: string, name: string): string | undefined =>
      findListed(priceListOf(provider(list)), [], name)?.model.id
    assert.equal(found('google', 'models/gemini-2.5-pro'), 'gemini-2.5-pro')
    for (const suffix of ['nitro', 'floor', 'online'])
      assert.equal(found('openrouter', `openai/gpt-4o:${suffix}`), 'openai/gpt-4o')
    assert.equal(found('openrouter', 'openai/gpt-4o:free'), undefined)
    assert.equal(found('google', 'tunedModels/gemini-2.5-pro'), undefined)
  })

  it('leave out what is not billed by the token, and take what is called free for free', () => {
    assert.equal(findListed(priceListOf(provider('openai')), [], 'whisper-1'), undefined)
    const router = priceListOf(provider('openrouter'))
    const free = provider('openrouter').models.find(({ id, prices }) => id.endsWith(':free') && !Object.keys(prices)[0])
    assert.deepEqual(findListed(router, [], free!.id)?.model.prices, [{ prices: { input: 0, output: 0 } }])
    const nameless = provider('openrouter').models.find(
      ({ id, prices }) => !id.endsWith(':free') && !Array.isArray(prices) && !Object.keys(prices)[0],
    )
    assert.ok(!router.models.some(({ id }) => id === nameless!.id), 'no price is not a price of nothing')
  })

  it('belong to base URLs, and to names the operator gives', () => {
    const baseUrls = {
      real: 'https://api.openai.com/v1',
      proxy: 'https://gateway.example.com/openai/v1',
      alike: 'https://api.openai.example.com/v1',
      claude: 'https://api.anthropic.com',
    }
    const { lists, byInstance, unknown } = readPriceLists({ baseUrls, named: { local: 'deepseek', wrong: 'open-ai' } })
    assert.deepEqual(byInstance, { real: 'openai', claude: 'anthropic', local: 'deepseek' })
    assert.deepEqual(lists.map(({ id }) => id).toSorted(), ['anthropic', 'deepseek', 'openai'])
    assert.deepEqual(unknown, ['wrong'])
  })

  it('are read in a process of their own, with what they fall back to', async () => {
    const builtIn = new BuiltInPrices({
      instances: [{ name: 'azure', type: 'openai', baseUrl: 'https://acme.openai.azure.com/openai/v1' }],
      named: {},
      isWanted: true,
      logger: { ...logger, debug: () => assert.fail('it was read in this process') },
    })
    const found = await builtIn.load()
    assert.deepEqual(
      found?.lists.map(({ id }) => id),
      ['azure', ...(provider('azure').fallback_model_providers ?? [])],
    )
    assert.deepEqual(found?.lists[0], JSON.parse(JSON.stringify(priceListOf(provider('azure')))))
  })

  it('are not read where nobody wants them, or the upstream is on this machine', async () => {
    const at = (baseUrl: string): Promise<unknown> =>
      new BuiltInPrices({
        instances: [{ name: 'x', type: 'openai', baseUrl }],
        named: {},
        isWanted: true,
        logger,
      }).load()
    for (const url of ['http://localhost:11434/v1', 'http://127.0.0.1/v1', 'http://[::1]:1/v1'])
      assert.equal(await at(url), undefined, url)
    const instances = [{ name: 'x', type: 'openai', baseUrl: 'https://api.openai.com/v1' }]
    assert.equal(await new BuiltInPrices({ instances, named: {}, isWanted: false, logger }).load(), undefined)
  })

  it('refuse names of instances and of lists that do not exist', async () => {
    const instances = [{ name: 'local', type: 'openai', baseUrl: 'http://127.0.0.1:1/v1' }]
    assert.throws(
      () => new BuiltInPrices({ instances, named: { lokal: 'openai' }, isWanted: true, logger }),
      /providers names lokal; there are local/,
    )
    await assert.rejects(
      new BuiltInPrices({ instances, named: { local: 'open-ai' }, isWanted: true, logger }).load(),
      /providers\.local: there is no price list "open-ai"/,
    )
  })

  it('stop being read when the gateway stops', async () => {
    const instances = [{ name: 'real', type: 'openai', baseUrl: 'https://api.openai.com/v1' }]
    const builtIn = new BuiltInPrices({ instances, named: {}, isWanted: true, logger })
    const loading = builtIn.load()
    builtIn.stop()
    await assert.rejects(loading, { name: 'AbortError' })
  })
})

describe('prices with dates', () => {
  const [first, second, third] = [1, 2, 3].map((input) => ({ input, output: 0 }))
  const at = (time: string): number => Date.parse(time)

  it('hold from their day on, or at their hours', () => {
    const dated = [{ prices: first! }, { fromMs: at('2030-01-01'), prices: second! }]
    assert.equal(pricesAt(dated, at('2029-12-31T23:59:59.999Z')), first)
    assert.equal(pricesAt(dated, at('2030-01-01')), second)
    const daily = [...dated, { startSecond: 3600, endSecond: 7200, prices: third! }]
    assert.equal(pricesAt(daily, at('2030-01-02T00:59:59.999Z')), second)
    assert.equal(pricesAt(daily, at('2030-01-02T01:00:00Z')), third)
    assert.equal(pricesAt(daily, at('2030-01-02T02:00:00Z')), second)
  })

  it('hold past midnight', () => {
    const nightly = [{ prices: first! }, { startSecond: 82_800, endSecond: 3600, prices: second! }]
    const hours = ['22:59:59', '23:00:00', '00:00:00', '00:59:59', '01:00:00']
    assert.deepEqual(
      hours.map((hour) => pricesAt(nightly, at(`2030-01-01T${hour}Z`)).input),
      [1, 2, 2, 2, 1],
    )
  })
})
