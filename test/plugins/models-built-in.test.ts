import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findProvider } from '@pydantic/genai-prices'
import type { ModelFacts, ProviderSummary } from '../../core/contract/plugin.ts'
import { KnownModels } from '../../plugins/models/known-models.ts'
import { findWellKnown } from '../../plugins/models/well-known-models.ts'

const logger = { debug: () => assert.fail('it was read in this process'), info() {}, warn() {}, error() {} }

async function load(
  instances: Readonly<Record<string, string>>,
  named: Readonly<Record<string, string>> = {},
  isWanted = true,
): Promise<{ readonly known: KnownModels; readonly isKnown: boolean }> {
  const summaries = Object.entries(instances).map(([name, baseUrl]): ProviderSummary => ({
    name,
    type: 'openai',
    baseUrl,
  }))
  const known = new KnownModels({ instances: summaries, named, isWanted, logger })
  return { known, isKnown: await known.load() }
}

describe('built-in data of models', () => {
  it('belong to base URLs, and to names the operator gives; they are read in a process of their own', async () => {
    const { known, isKnown } = await load(
      {
        real: 'https://api.openai.com/v1',
        claude: 'https://api.anthropic.com',
        alike: 'https://api.openai.example.com/v1',
        proxy: 'https://gateway.example.com/openai/v1',
        google: 'https://generativelanguage.googleapis.com/v1beta/openai',
        here: 'http://127.0.0.1:9/v1',
      },
      { proxy: 'openai' },
    )
    assert.ok(isKnown)
    const length = (provider: string, model: string): number | undefined =>
      known.find({ provider, model })?.contextLength
    assert.equal(length('real', 'gpt-4o'), 128_000)
    assert.equal(length('proxy', 'gpt-4o'), 128_000)
    assert.equal(length('claude', 'claude-sonnet-4-5-20250929'), 200_000)
    for (const provider of ['alike', 'here', 'nobody', 'toString']) assert.equal(length(provider, 'gpt-4o'), undefined)
    // What the company's own data file does not have comes from the package.
    const listed = findProvider({ providerId: 'google' })!.models.find(({ id }) => id === 'gemini-2.5-pro')!
    assert.equal(length('google', 'models/gemini-2.5-pro'), listed.context_window)
    assert.equal(length('google', 'gemini-2.5-pro:nitro'), listed.context_window)
    await known.stop()
  })

  it('are what is certain, and say nothing of data policies and prices', () => {
    const known = (company: string, model: string): ModelFacts | undefined => findWellKnown(company, model)
    assert.equal(known('openai', 'GPT-4o-2024-08-06')?.maxOutputTokens, 16_384)
    assert.equal(known('openai', 'gpt-4o-2024-05-13')?.maxOutputTokens, 4_096)
    assert.deepEqual(known('anthropic', 'claude-3-7-sonnet-latest')?.inputModalities, ['text', 'image', 'file'])
    assert.ok(known('anthropic', 'claude-opus-4-1-20250805')?.supportedParameters?.includes('reasoning'))
    for (const [company, model] of [
      ['openai', 'gpt-4o-something'],
      ['openai', 'claude-opus-4-1'],
      ['openai', 'toString'],
      ['nobody', 'gpt-4o'],
      ['constructor', 'gpt-4o'],
      ['openai', 'ft:gpt-4o:acme'],
    ] as const)
      assert.equal(known(company, model), undefined, model)
    for (const model of ['gpt-4o', 'gpt-5', 'o3']) {
      const facts = known('openai', model)!
      assert.deepEqual([facts.dataPolicy, facts.prices, facts.quantization], [undefined, undefined, undefined])
    }
  })

  it('agree with the package about context, but for what it rounds', () => {
    for (const company of ['openai', 'anthropic'])
      for (const { id, context_window: listed } of findProvider({ providerId: company })!.models) {
        const own = findWellKnown(company, id)?.contextLength
        if (own && listed) assert.ok(Math.abs(own - listed) / listed < 0.05, `${id}: ${own}, not ${listed}`)
      }
  })

  it('are not read where nobody wants them', async () => {
    assert.equal((await load({ real: 'https://api.openai.com/v1' }, {}, false)).isKnown, false)
    assert.equal((await load({ here: 'http://localhost:1/v1' })).isKnown, false)
    assert.equal((await load({})).isKnown, false)
  })

  it('refuse names of instances and of companies that do not exist', async () => {
    const instances = { local: 'http://127.0.0.1:1/v1' }
    await assert.rejects(load(instances, { lokal: 'openai' }), /providers names lokal; there are local/)
    await assert.rejects(load(instances, { local: 'open-ai' }), /providers\.local: there is no company "open-ai"/)
  })

  it('stop being read when the gateway stops', async () => {
    const instances = [{ name: 'real', type: 'openai', baseUrl: 'https://api.openai.com/v1' }]
    const known = new KnownModels({ instances, named: {}, isWanted: true, logger })
    const loading = known.load()
    const refused = assert.rejects(loading, { name: 'AbortError' })
    await known.stop()
    await refused
  })
})
