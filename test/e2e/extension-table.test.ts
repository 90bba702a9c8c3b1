/** Every extension of the request that clients of OpenRouter know: it works, or the error says what to do instead. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { pdf } from '../plugins/pdf-builder.ts'
import { openEngine } from '../plugins/search-engine.ts'
import type { SearchEngine } from '../plugins/search-engine.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { failure } from './scripted-upstream.ts'
import type { Json, Script } from './scripted-upstream.ts'
import { answerIn } from './wire-answers.ts'

const claude = 'anthropic/claude-sonnet-4-5'

/** One request and what becomes of it. */
interface Case {
  /** Fields besides the prompt and the model, which is `any`. */
  readonly body: Json
  /** The instance that answers, or `400 code`. Default: whoever. */
  readonly becomes?: string
  /** Where the Responses API has another form of it: its own fields; false: it has none. */
  readonly responses?: Json | false
  /** Found in what is sent upstream, or in the error. */
  readonly says?: RegExp
  /** Not found in what is sent upstream. */
  readonly hides?: RegExp
  /** Found in the answer. */
  readonly answer?: RegExp
  /** Found in the warnings of the metadata. */
  readonly warns?: RegExp
  readonly upstream?: readonly Script[]
}

type Table = Readonly<Record<string, Case>>

let running: RunningGateway
let engine: SearchEngine

function prices(dollars: number): Json {
  return { input_per_million: dollars, output_per_million: dollars }
}

before(async () => {
  engine = await openEngine({
    results: [{ url: 'https://example.com/falcons', title: 'Falcons', content: 'Falcons are fast.' }],
  })
  running = await startGateway({
    isComplete: true,
    config: {
      models: {
        any: { targets: ['native/m', 'chat-only/m', 'responses-only/m'] },
        small: { targets: ['chat-only/small'] },
        'native/m': {
          prices: prices(3),
          data_policy: { training: false, retention_days: 30 },
          slug: 'azure/eu',
          supported_parameters: ['temperature', 'reasoning'],
        },
        'chat-only/m': { prices: prices(1), quantization: 'fp8' },
        'responses-only/m': {
          prices: prices(2),
          data_policy: { training: false, retention_days: 0 },
          distillable: true,
          supported_parameters: ['tools', 'temperature'],
        },
        'chat-only/small': { context_length: 2000, prices: prices(1), input_modalities: ['text'] },
      },
      plugins: {
        web: { searxng: { base_url: engine.url } },
        moderation: { apply: 'on-request', engine: 'local', rules: { secrets: { words: ['falcon nine'] } } },
      },
    },
  })
})
after(async () => {
  await running.close()
  await engine[Symbol.asyncDispose]()
})

async function check(path: 'chat/completions' | 'responses', fields: Json, each: Case): Promise<void> {
  const isChat = path === 'chat/completions'
  const hello = isChat ? { messages: [{ role: 'user', content: 'Hello' }] } : { input: 'Hello' }
  const before = running.upstream.calls.length
  running.upstream.answer(...(each.upstream ?? []))
  const headers: Record<string, string> = each.warns ? { 'x-hadrian-metadata': 'enabled' } : {}
  const response = await running.post(`/api/v1/${path}`, { model: 'any', ...hello, ...fields }, { headers })
  const text = await response.text()
  const { becomes = '', says, hides, answer } = each
  const refusal = /^(\d{3}) (\w+)$/.exec(becomes)
  if (refusal) {
    assert.equal(`${response.status} ${String((JSON.parse(text) as { error: Json }).error['code'])}`, becomes, text)
    if (says) assert.match(text, says)
    if (!each.upstream) assert.equal(running.upstream.calls.length, before)
    return
  }
  assert.equal(response.status, 200, text)
  const { bytes, path: called } = running.upstream.last()
  if (becomes !== '') assert.equal(called.split('/')[1], becomes)
  if (says) assert.match(bytes.toString(), says)
  if (hides) assert.doesNotMatch(bytes.toString(), hides)
  if (answer) assert.match(text, answer)
  if (each.warns)
    assert.match(
      JSON.stringify((JSON.parse(text) as { hadrian_metadata: Json }).hadrian_metadata['warnings']),
      each.warns,
    )
}

function table(name: string, cases: Table): void {
  describe(name, () => {
    for (const [what, each] of Object.entries(cases)) {
      const { body, responses = body } = each
      it(`${what}, on chat`, () => check('chat/completions', body, each))
      if (responses !== false) it(`${what}, on responses`, () => check('responses', responses, each))
    }
  })
}

const chatOnly = 'chat-only/m'
const responsesOnly = 'responses-only/m'

table('models', {
  'model comes first': { body: { model: chatOnly, models: [responsesOnly] }, becomes: 'chat-only' },
  'then the others in order': {
    body: { model: chatOnly, models: [responsesOnly, 'native/m'] },
    upstream: [failure(500), failure(429)],
    becomes: 'native',
  },
  'without model the first': { body: { model: undefined, models: [chatOnly, responsesOnly] }, becomes: 'chat-only' },
  'without both': { body: { model: undefined }, becomes: '400 invalid_request_error', says: /model/ },
  'a context that is too short moves on': {
    body: { model: chatOnly, models: [responsesOnly] },
    upstream: [failure(400, { code: 'context_length_exceeded' })],
    becomes: 'responses-only',
  },
  'all fail': {
    body: { model: chatOnly, models: [responsesOnly] },
    upstream: [failure(500), failure(503)],
    becomes: '502 provider_error',
    says: /"upstream_status":503/,
  },
  'the price of the one that answered': {
    body: { model: chatOnly, models: [responsesOnly] },
    upstream: [failure(500)],
    answer: /"cost":0\.000024/,
  },
  'of a stream, before the first event': {
    body: { model: chatOnly, models: [responsesOnly], stream: true },
    upstream: [failure(500)],
    becomes: 'responses-only',
  },
  'sorted together': {
    body: { model: 'native/m', models: [chatOnly], provider: { sort: { by: 'price', partition: 'none' } } },
    becomes: 'chat-only',
  },
  'route: sort': {
    body: { model: 'native/m', models: [chatOnly], route: 'sort', provider: { sort: 'price' } },
    becomes: 'chat-only',
  },
  'route: fallback': {
    body: { model: 'native/m', models: [chatOnly], route: 'fallback', provider: { sort: 'price' } },
    becomes: 'native',
  },
  'one that nobody has': {
    body: { model: undefined, models: ['nobody/m'] },
    becomes: '400 routing_error',
    says: /nobody\/m/,
  },
})

const by = (provider: Json, becomes?: string): Case => ({
  body: { provider },
  ...(becomes !== undefined && { becomes }),
})

table('provider', {
  order: by({ order: ['responses-only', 'chat-only'] }, 'responses-only'),
  'order, whose first fails': { ...by({ order: ['azure', 'chat-only'] }, 'chat-only'), upstream: [failure(500)] },
  'order of nobody here': by({ order: ['deepinfra/turbo'] }),
  'only the order': {
    ...by({ order: ['azure'], allow_fallbacks: false }, '502 provider_error'),
    upstream: [failure(500)],
    says: /"upstream_status":500/,
  },
  allow_fallbacks: { ...by({ allow_fallbacks: false }, '502 provider_error'), upstream: [failure(500)] },
  require_parameters: {
    body: {
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
      provider: { require_parameters: true, ignore: ['chat-only'] },
    },
    responses: {
      tools: [{ type: 'function', name: 'f', parameters: { type: 'object' }, strict: false }],
      provider: { require_parameters: true, ignore: ['chat-only'] },
    },
    becomes: 'responses-only',
  },
  data_collection: by({ data_collection: 'deny', sort: 'price' }, 'responses-only'),
  zdr: by({ zdr: true }, 'responses-only'),
  enforce_distillable_text: by({ enforce_distillable_text: true }, 'responses-only'),
  'only, by the base slug': by({ only: ['azure'] }, 'native'),
  'only, by the full slug': by({ only: ['azure/eu'] }, 'native'),
  'only, of another region': by({ only: ['azure/us'] }, '400 routing_error'),
  ignore: by({ ignore: ['azure', 'chat-only'] }, 'responses-only'),
  quantizations: by({ quantizations: ['fp8'] }, 'chat-only'),
  'quantizations, unknown': by({ quantizations: ['unknown'], ignore: ['azure'] }, 'responses-only'),
  'sort by price': by({ sort: 'price' }, 'chat-only'),
  'sort by throughput': by({ sort: 'throughput' }),
  'sort by latency': by({ sort: 'latency' }),
  'sort by exacto': by({ sort: 'exacto' }),
  'sort that order beats': by({ sort: 'price', order: ['azure'] }, 'native'),
  'sort that is none': { ...by({ sort: 'beauty' }, '400 invalid_request_error'), says: /provider\.sort/ },
  preferred_min_throughput: by({ preferred_min_throughput: 100 }),
  'preferred_min_throughput by percentile': by({ preferred_min_throughput: { p50: 100, p90: 50 } }),
  preferred_max_latency: by({ preferred_max_latency: { p99: 3 } }),
  max_price: by({ max_price: { prompt: 1.5 } }, 'chat-only'),
  'max_price as text': by(
    { max_price: { prompt: '1.5', completion: '2', request: 1, image: 1, audio: 1 } },
    'chat-only',
  ),
  'max_price below all': { ...by({ max_price: { completion: 0.5 } }, '400 routing_error'), says: /max_price/ },
  'nulls are not set': by({ order: null, only: null, sort: null, zdr: null, max_price: null, allow_fallbacks: null }),
  'a key that is none': { ...by({ speed: 'fast' }, '400 invalid_request_error'), says: /speed/ },
  null: { body: { provider: null } },
})

const long = Array.from({ length: 41 }, (_, index) => ({
  role: index % 2 === 0 ? 'user' : 'assistant',
  content: `Part ${index}. ${'Some words to fill the context. '.repeat(12)}`,
}))
const named = (id: string, params: Json = {}): Json => ({ plugins: [{ id, ...params }] })
const notHere = (id: string, params?: Json): Case => ({
  body: named(id, params),
  becomes: '400 invalid_request_error',
  says: new RegExp(`No plugin \\\\"${id}\\\\" can be named.*Available: .*web`),
})
const file = {
  filename: 'recipe.pdf',
  file_data: `data:application/pdf;base64,${pdf(['Thyme is in it.']).toString('base64')}`,
}
const withFile = (plugins: Json): Pick<Case, 'body' | 'responses'> => ({
  body: { model: chatOnly, messages: [{ role: 'user', content: [{ type: 'file', file }] }], ...plugins },
  responses: { model: chatOnly, input: [{ role: 'user', content: [{ type: 'input_file', ...file }] }], ...plugins },
})
const broken = answerIn({ text: '```json\n{city: "Köln",}\n```' })
const healed = /\{\\"city\\": ?\\"Köln\\"\}/
const jsonAnswer = (plugins: Json): Pick<Case, 'body' | 'responses'> => ({
  body: { model: chatOnly, response_format: { type: 'json_object' }, ...plugins },
  responses: { model: chatOnly, text: { format: { type: 'json_object' } }, ...plugins },
})
const flagged = (plugins: Json): Pick<Case, 'body' | 'responses'> => ({
  body: { messages: [{ role: 'user', content: 'The falcon nine' }], ...plugins },
  responses: { input: 'The falcon nine', ...plugins },
})

table('plugins', {
  web: { body: named('web', { max_results: 3, search_prompt: 'Look:' }), says: /Look:.*Falcons are fast\./ },
  'web, for domains': { body: named('web', { include_domains: ['*.example.org'] }), hides: /Falcons/ },
  'web, without some domains': { body: named('web', { exclude_domains: ['example.com/falcons'] }), hides: /Falcons/ },
  'web, switched off': { body: named('web', { enabled: false }), hides: /Falcons/ },
  'web, by an engine that is not here': {
    body: named('web', { engine: 'firecrawl' }),
    becomes: '400 invalid_request_error',
    says: /searxng/,
  },
  'web, natively where nobody can': {
    body: { model: chatOnly, ...named('web', { engine: 'native' }) },
    becomes: '400 invalid_request_error',
  },
  'web, natively': {
    body: { model: claude, ...named('web', { engine: 'native', max_uses: 2 }) },
    says: /web_search.*"max_uses":2/,
  },
  'web, with a param that is none': {
    body: named('web', { colour: 'red' }),
    becomes: '400 invalid_request_error',
    says: /colour/,
  },
  'file-parser': { ...withFile(named('file-parser', { pdf: { engine: 'pdf-text' } })), says: /Thyme is in it\./ },
  'file-parser, unnamed, for a model of text': { ...withFile({ model: 'small' }), says: /Thyme is in it\./ },
  'file-parser, by its older engine': {
    ...withFile(named('file-parser', { pdf: { engine: 'cloudflare-ai' } })),
    says: /Thyme/,
  },
  'file-parser, natively': { ...withFile(named('file-parser', { pdf: { engine: 'native' } })), hides: /Thyme/ },
  'file-parser, by an engine without a key': {
    ...withFile(named('file-parser', { pdf: { engine: 'mistral-ocr' } })),
    becomes: '400 unsupported',
    says: /mistral/,
  },
  'response-healing': { ...jsonAnswer(named('response-healing')), upstream: [broken], answer: healed },
  'response-healing, unnamed': { ...jsonAnswer({}), upstream: [broken], answer: /```json/ },
  'context-compression': {
    body: { model: 'small', messages: long, ...named('context-compression', { engine: 'middle-out' }) },
    responses: { model: 'small', input: long, ...named('context-compression') },
    says: /Part 40\./,
    hides: /Part 20\./,
  },
  'context-compression, unnamed, of a small context': {
    body: { model: 'small', messages: long },
    responses: { model: 'small', input: long },
    hides: /Part 20\./,
  },
  'context-compression, switched off': {
    body: { model: 'small', messages: long, ...named('context-compression', { enabled: false }) },
    responses: { model: 'small', input: long, ...named('context-compression', { enabled: false }) },
    says: /Part 20\./,
  },
  transforms: {
    body: { model: 'small', messages: long, transforms: ['middle-out'] },
    responses: { model: 'small', input: long, transforms: ['middle-out'] },
    hides: /Part 20\.|transforms/,
  },
  'transforms, none': {
    body: { model: 'small', messages: long, transforms: [] },
    responses: { model: 'small', input: long, transforms: [] },
    says: /Part 20\./,
    hides: /transforms/,
  },
  moderation: { ...flagged(named('moderation')), becomes: '400 content_blocked', says: /secrets/ },
  'moderation, unnamed': flagged({}),
  'auto-router': notHere('auto-router', { allowed_models: ['*'], cost_tier: 'low' }),
  'auto-beta-router': notHere('auto-beta-router'),
  'web-fetch': notHere('web-fetch'),
  'pareto-router': notHere('pareto-router', { min_coding_score: 0.5 }),
  fusion: notHere('fusion', { preset: 'general-fast' }),
  'one twice': {
    body: { plugins: [{ id: 'web' }, { id: 'web' }] },
    becomes: '400 invalid_request_error',
    says: /twice/,
  },
  none: { body: { plugins: [] } },
  null: { body: { plugins: null } },
  'a server tool': {
    body: { model: claude, tools: [{ type: 'openrouter:web_search' }] },
    hides: /openrouter/,
    warns: /tools/,
  },
  web_search_options: {
    body: { model: claude, web_search_options: { search_context_size: 'low' } },
    warns: /web_search_options/,
  },
  x_search_filter: { body: { model: claude, x_search_filter: { allowed_x_handles: ['a'] } }, warns: /x_search_filter/ },
})

table('sampling', {
  'top_k, where it is known': { body: { model: claude, top_k: 40 }, says: /"top_k":40/ },
  'top_k, elsewhere': { body: { model: chatOnly, top_k: 40 }, hides: /top_k/, warns: /top_k/ },
  'top_k, off': { body: { model: chatOnly, top_k: 0 }, hides: /top_k/ },
  'top_k, required': {
    body: { model: 'native/m', top_k: 40, provider: { require_parameters: true } },
    becomes: '400 routing_error',
    says: /top_k/,
  },
  'min_p, top_a and repetition_penalty': {
    body: { model: chatOnly, min_p: 0.1, top_a: 0.1, repetition_penalty: 1.1 },
    hides: /min_p|top_a|repetition/,
  },
  'nothing that is absent': { body: { model: chatOnly }, hides: /temperature|top_p|top_k|penalty/ },
  'a default that is written': { body: { model: chatOnly, temperature: 1 }, says: /"temperature":1/ },
  'usage.include': {
    body: { model: chatOnly, usage: { include: true } },
    hides: /"usage"/,
    answer: /"cost":0\.000012/,
  },
  'usage.include of a stream': {
    body: { model: chatOnly, usage: { include: true }, stream: true },
    hides: /"usage"/,
    answer: /"cost":0\.000012/,
  },
})

const thought = (reasoning: Json, more: Json = {}): Pick<Case, 'body'> => ({
  body: { model: claude, reasoning, ...more },
})

table('reasoning', {
  'effort max': { ...thought({ effort: 'max' }), says: /"budget_tokens":7782/ },
  'effort xhigh': { ...thought({ effort: 'xhigh' }), says: /"budget_tokens":7782/ },
  'effort high': { ...thought({ effort: 'high' }), says: /"budget_tokens":6553/ },
  'effort medium': { ...thought({ effort: 'medium' }), says: /"budget_tokens":4096/ },
  'effort low': { ...thought({ effort: 'low' }), says: /"budget_tokens":1638/ },
  'effort minimal': { ...thought({ effort: 'minimal' }), says: /"budget_tokens":1024/ },
  'effort none': { ...thought({ effort: 'none' }), hides: /"thinking":\{"type":"enabled"/ },
  'effort, by name': { body: { model: 'native/m', reasoning: { effort: 'high' } }, says: /"high"/ },
  'effort that is none': { body: { model: chatOnly, reasoning: { effort: 'enormous' } } },
  max_tokens: { ...thought({ max_tokens: 2000 }), says: /"budget_tokens":2000/ },
  'max_tokens, by name': { body: { model: 'native/m', reasoning: { max_tokens: 2000 } }, says: /"low"/ },
  'effort and max_tokens': {
    ...thought({ effort: 'high', max_tokens: 2000 }),
    becomes: '400 invalid_request_error',
    says: /reasoning\.max_tokens/,
  },
  exclude: { ...thought({ effort: 'low', exclude: true }), says: /"budget_tokens":1638/ },
  enabled: { ...thought({ enabled: true }), says: /"budget_tokens":4096/ },
  'not enabled': { ...thought({ enabled: false }), hides: /thinking/ },
  summary: {
    body: { model: 'responses-only/o3', reasoning: { effort: 'low', summary: 'auto' } },
    says: /"summary":"auto"/,
  },
  context: { body: { model: chatOnly, reasoning: { context: 'auto' } } },
  mode: { body: { model: chatOnly, reasoning: { mode: 'pro' } } },
  reasoning_effort: {
    body: { model: 'native/m', reasoning_effort: 'low' },
    says: /"reasoning_effort":"low"/,
    responses: false,
  },
  'reasoning_effort that differs': {
    body: { model: 'native/m', reasoning_effort: 'low', reasoning: { effort: 'high' } },
    responses: false,
    becomes: '400 invalid_request_error',
    says: /contradicts/,
  },
  include_reasoning: { body: { model: chatOnly, include_reasoning: true }, hides: /include_reasoning/ },
  'include_reasoning, not': { body: { model: chatOnly, include_reasoning: false }, hides: /include_reasoning/ },
})

const asModel = (model: string, becomes?: string, more: Partial<Case> = {}): Case => ({
  body: { model },
  ...(becomes !== undefined && { becomes }),
  ...more,
})

table('names of models', {
  ':nitro': asModel('any:nitro'),
  ':floor': asModel('any:floor', 'chat-only'),
  ':exacto': asModel('any:exacto'),
  ':online': asModel('any:online', undefined, { says: /Falcons are fast\./ }),
  ':floor:online': asModel('any:floor:online', 'chat-only', { says: /Falcons are fast\./ }),
  'a name that ends in :free': asModel('chat-only/m:free', 'chat-only', { says: /"model":"m:free"/ }),
  'a name that ends in :extended': asModel('chat-only/m:extended', 'chat-only', { says: /"model":"m:extended"/ }),
  'a name that ends in :thinking': asModel('chat-only/m:thinking', 'chat-only', { says: /"model":"m:thinking"/ }),
  '~author/family-latest': asModel('~anthropic/claude-latest', '400 routing_error'),
  '@preset': asModel('@preset/mine', '400 routing_error'),
  'model@preset': asModel('any@preset/mine', '400 routing_error', { says: /not found/ }),
  'the field preset, which is no field here': {
    body: { preset: 'mine', model: claude },
    hides: /mine/,
    warns: /preset/,
  },
  ...Object.fromEntries(
    ['auto', 'auto-beta', 'free', 'pareto-code', 'fusion', 'bodybuilder'].map((name) => [
      `openrouter/${name}`,
      asModel(`openrouter/${name}`, '400 routing_error', { says: new RegExp(`openrouter/${name}`) }),
    ]),
  ),
  service_tier: { body: { model: 'native/m', service_tier: 'flex' }, says: /"service_tier":"flex"/ },
})
