import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { Dialect, GenerateRequest, JsonObject } from '../../core/contract/canonical.ts'
import type { PluginDefinition } from '../../core/contract/plugin.ts'
import type { Capabilities, ProviderDefinition, Target } from '../../core/contract/provider.ts'
import { dialects } from '../../core/dialects/index.ts'
import { replaceObject, spliceFields } from '../../core/dialects/json-bytes.ts'
import { extensionFields, gatewayFields, passthroughBody } from '../../core/dialects/passthrough.ts'
import { verbatimBody } from '../../core/dialects/verbatim-body.ts'
import { harness, textEvents } from '../../core/testing/index.ts'
import { hookPlugin, noOptions } from './hook-plugin.ts'

const space = fc.stringMatching(/^[ \n\r\t]{0,3}$/)
const keys = fc.constantFrom('model', 'store', 'stream', 'messages', 'mod', 'model ', 'odel"', 'user', '', '__proto__')

/** A key as a client may write it: plain, or with some of its letters escaped. */
const writtenKey = fc.tuple(keys, fc.nat(8), fc.constantFrom('plain', 'plain', 'plain', 'escaped')).map(([key, at, how]) => {
  const plain = JSON.stringify(key)
  if (how === 'plain' || key === '' || key.includes('"')) return { key, written: plain }
  const place = at % key.length
  const escaped = `\\u${key.charCodeAt(place).toString(16).padStart(4, '0')}`
  return { key, written: `"${key.slice(0, place)}${escaped}${key.slice(place + 1)}"` }
}) // prettier-ignore

const writtenString = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('model', '"model"', '"model":"x"', '\\', '\\"', '}', '{"model":1}', '\u2028', '😀', '\ud800', '\u0000'),
  )
  .map((value) => JSON.stringify(value)) // prettier-ignore

/** JSON text with everything that makes a search in bytes go wrong: blanks, duplicates, escapes, keys in depth. */
const { value: writtenValue, object: writtenObject } = fc.letrec<{
  value: string
  object: { text: string; entries: { key: string; text: string }[] }
}>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    writtenString,
    writtenString,
    fc.constantFrom('1', '-0.5e3', 'true', 'false', 'null', '{}', '[]'),
    fc.array(tie('value'), { maxLength: 3 }).map((all) => `[${all.join(',')}]`),
    tie('object').map(({ text }) => text),
  ),
  object: fc
    .tuple(fc.array(fc.tuple(writtenKey, tie('value'), space, space, space), { maxLength: 5 }), space, space, space)
    .map(([all, before, inside, after]) => {
      const entries = all.map(([{ key, written }, value, a, b, c]) => ({
        key,
        text: `${a}${written}${b}:${c}${value}`,
      }))
      return { entries, text: `${before}{${inside}${entries.map(({ text }) => text).join(',')}}${after}` }
    }),
}))

/** `JSON.parse` without the prototypes, so that a key called `__proto__` compares as any other. */
function plain(text: string): string {
  return JSON.stringify(JSON.parse(text))
}

describe('fields replaced in their bytes', () => {
  const set = { model: 'nëw "name"', store: false }

  it('are what JSON.parse would see, or nothing is done', () => {
    let spliced = 0
    fc.assert(
      fc.property(writtenObject, ({ text, entries }) => {
        const body = JSON.parse(text) as JsonObject
        const bytes = Buffer.from(text)
        const result = spliceFields(bytes, body, set)
        assert.equal(bytes.toString(), Buffer.from(text).toString(), 'the bytes of the client were changed')
        if (!result) return
        spliced++
        const after = Buffer.from(result).toString()
        assert.equal(plain(after), JSON.stringify({ ...body, ...set }))
        // A parser that takes the first of two must see the same.
        for (const name of Object.keys(set)) assert.ok(entries.filter(({ key }) => key === name).length <= 1)
        // Nothing else was touched.
        for (const { key, text: entry } of entries)
          if (!(key in set)) assert.ok(after.includes(Buffer.from(entry).toString()))
      }),
      { numRuns: 2_000 },
    )
    assert.ok(spliced > 200, `only ${spliced} were spliced: the test says little`)
  })

  const table: readonly (readonly [what: string, text: string, after: string | undefined])[] = [
    ['the plain case', '{"model":"old","x":1}', '{"model":"new","x":1}'],
    ['blanks', ' { "model" :\n"old" , "x" : 1 } \n', ' { "model" :\n"new" , "x" : 1 } \n'],
    ['escapes in the value', '{"model":"o\\"l\\\\","x":1}', '{"model":"new","x":1}'],
    ['an absent key', '{"x":1}', '{"x":1,"model":"new"}'],
    ['an empty body', '{}', '{"model":"new"}'],
    ['a duplicate', '{"model":"a","model":"b"}', undefined],
    ['a duplicate with an escape', '{"model":"a","mod\\u0065l":"b"}', undefined],
    ['an escaped key alone', '{"mod\\u0065l":"b"}', undefined],
    ['the key in depth', '{"model":"a","x":{"model":"b"}}', undefined],
    ['the key as a value', '{"model":"a","x":"model"}', undefined],
    ['a value that is no string', '{"model":{"a":1}}', undefined],
    ['the key in a string', '{"x":"say \\"model\\":","model":"a"}', '{"x":"say \\"model\\":","model":"new"}'],
  ]
  for (const [what, text, after] of table)
    it(what, () => {
      const result = spliceFields(Buffer.from(text), JSON.parse(text) as JsonObject, { model: 'new' })
      assert.equal(result && Buffer.from(result).toString(), after)
    })
})

describe('an object replaced in its bytes', () => {
  it('is the one that JSON.parse would see, or nothing is done', () => {
    let replaced = 0
    fc.assert(
      fc.property(writtenObject, fc.constantFrom('', ' ', '\n'), (around, blank) => {
        const usage = { total_tokens: 7, detail: { '}': '"usage"' } }
        const inner = `"usage"${blank}:${blank}${JSON.stringify(usage)}`
        const rest = around.text.trim()
        const text = rest === '{}' || /^\{\s*\}$/.test(rest) ? `{${inner}}` : `${rest.slice(0, -1)},${inner}}`
        const body = JSON.parse(text) as JsonObject
        const result = replaceObject(Buffer.from(text), 'usage', body['usage'], { cost: 1 })
        if (!result) return
        replaced++
        assert.equal(plain(result.toString()), JSON.stringify({ ...body, usage: { cost: 1 } }))
      }),
      { numRuns: 500 },
    )
    assert.ok(replaced > 20)
  })

  it('is not another of the same content in depth', () => {
    const usage = { total_tokens: 1 }
    const value = { usage, choices: [{ usage }] }
    const bytes = Buffer.from(JSON.stringify(value))
    assert.equal(replaceObject(bytes, 'usage', usage, { cost: 1 }), undefined)
    const end = { usage: { inputTokens: 1, outputTokens: 0, costMicros: 5 } }
    const whole = verbatimBody(bytes, value, end, (usage) => dialects.chat.encodeUsage(usage))
    assert.deepEqual(JSON.parse(Buffer.from(whole).toString()), {
      usage: { total_tokens: 1, cost: 0.000005, cost_details: { upstream_inference_cost: null }, is_byok: false },
      choices: [{ usage }],
    })
  })
})

const target: Target = {
  provider: 'up',
  model: 'upstream-model',
  name: 'up/upstream-model',
  requested: 'up/upstream-model',
}
const capabilities: Capabilities = { operations: ['generate'], dialects: { chat: '/chat/completions' } }

function pass(text: string, dialect: Dialect = 'chat', rest: Partial<Capabilities> = {}): string | undefined {
  const body = JSON.parse(text) as JsonObject
  const result = passthroughBody({
    bytes: Buffer.from(text),
    body,
    request: dialects[dialect].decode(body),
    target,
    capabilities: { ...capabilities, ...rest },
  })
  return result && Buffer.from(result).toString()
}

describe('the body that is passed through', () => {
  const start = '{"messages":[{"role":"user","content":"x"}]'

  it('is that of the client with the model of the target and without the fields of the gateway', () => {
    for (const field of gatewayFields) {
      const sent = JSON.parse(
        pass(`${start},"model":"m","${field}":{"a":1},"future":[1,{"deep":null}]}`)!,
      ) as JsonObject
      assert.deepEqual(sent, {
        messages: [{ role: 'user', content: 'x' }],
        model: 'upstream-model',
        future: [1, { deep: null }],
      })
    }
  })

  it('keeps every byte it does not own', () => {
    const text = `  {"future" : 1.0e2, "model":"m",\t"messages":[ {"role":"user","content":"\\u4e16\\/"} ] }`
    assert.equal(pass(text), text.replace('"m"', '"upstream-model"'))
  })

  it('asks for the usage of a stream', () => {
    const sent = (options: string): unknown =>
      (JSON.parse(pass(`${start},"model":"m","stream":true${options}}`)!) as JsonObject)['stream_options']
    assert.deepEqual(sent(''), { include_usage: true })
    assert.deepEqual(sent(',"stream_options":null'), { include_usage: true })
    assert.deepEqual(sent(',"stream_options":{"include_usage":false,"include_obfuscation":false}'), {
      include_usage: true,
      include_obfuscation: false,
    })
    assert.deepEqual(sent(',"stream_options":{"include_usage":true}'), { include_usage: true })
    assert.deepEqual(sent(',"usage":{"include":true}'), { include_usage: true })
  })

  it('stores nothing upstream', () => {
    for (const store of ['', ',"store":true', ',"store":null', ',"store":false'])
      assert.equal((JSON.parse(pass(`{"input":"x","model":"m"${store}}`, 'responses')!) as JsonObject)['store'], false)
  })

  it('is none where an extension must be mapped first', () => {
    for (const dialect of ['chat', 'responses'] as const)
      for (const field of extensionFields[dialect]) {
        const body = dialect === 'chat' ? start : '{"input":"x"'
        const value = field === 'reasoning' ? '{"max_tokens":5}' : '5'
        assert.equal(pass(`${body},"model":"m","${field}":${value}}`, dialect), undefined, field)
        const nothing = JSON.parse(pass(`${body},"model":"m","${field}":null}`, dialect)!) as JsonObject
        assert.equal(Object.hasOwn(nothing, field), false, field)
        assert.notEqual(pass(`${body},"model":"m","${field}":${value}}`, dialect, { extensions: [field] }), undefined)
      }
  })

  it('is what JSON.parse sees, whatever the client writes', () => {
    fc.assert(
      fc.property(writtenObject, writtenValue, ({ text, entries }, extra) => {
        const rest = entries.filter(({ key }) => key !== 'stream' && key !== 'messages').map((entry) => entry.text)
        const whole = `{${['"messages":[{"role":"user","content":"x"}]', ...rest, `"later":${extra}`].join(',')}}`
        const body = JSON.parse(whole) as JsonObject
        const sent = pass(whole)
        assert.ok(sent !== undefined)
        assert.equal(plain(sent), JSON.stringify({ ...body, model: 'upstream-model' }))
        assert.ok(text.length > 0)
      }),
      { numRuns: 500 },
    )
  })
})

/** A provider that speaks chat over HTTP, and what bodies it got. */
async function upstream(context: TestContext): Promise<{ definition: ProviderDefinition; bodies: string[] }> {
  const bodies: string[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (piece: string) => (body += piece))
    request.on('end', () => {
      bodies.push(body)
      response.setHeader('content-type', 'application/json')
      response.end('{}')
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  context.after(() => server.closeAllConnections())
  context.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const encode = (request: GenerateRequest): JsonObject => ({
    encoded: true,
    messages: request.messages.map(({ content }) => content.map((part) => (part.type === 'text' ? part.text : part))),
  })
  return {
    bodies,
    definition: {
      name: 'up',
      api: 1,
      options: noOptions,
      setup: () => ({
        capabilities,
        baseUrl: `http://127.0.0.1:${port}`,
        encode: (request) => ({
          wire: { method: 'POST', path: '/chat/completions', headers: {}, body: encode(request), dialect: 'up' },
          warnings: [],
        }),
        decode: () => textEvents('fine'),
        decoder: () => ({ push: () => [], end: () => [] }),
        decodeError: () => new Error('no') as never,
        authorize: (wire) => wire,
      }),
    },
  }
}

/** Sends bytes through the pipeline, as HTTP would. */
async function sendBytes(context: TestContext, text: string, plugins: readonly PluginDefinition[]): Promise<string> {
  const { definition, bodies } = await upstream(context)
  await using gateway = await harness({ plugins, providers: [[definition]] })
  const result = await gateway.gateway.pipeline.execute({
    id: 'x',
    operation: 'generate',
    dialect: 'chat',
    headers: {},
    principal: { id: 'tester' },
    body: JSON.parse(text) as JsonObject,
    bytes: Buffer.from(text),
    signal: new AbortController().signal,
    startedMs: 0,
  })
  await result.settled
  assert.equal(result.status, 200, String(result.body))
  assert.equal(bodies.length, 1)
  return bodies[0]!
}

describe('what a guardrail has judged', () => {
  const evil =
    '{"model":"up/m","messages":[{"role":"user","content":"evil"}],"messages":[{"role":"user","content":"fine"}]}'
  const nested = '{"model":"up/m","messages":[{"role":"user","content":"evil","content":"fine"}]}'

  it('is sent as it came where nobody judges', async (context) => {
    assert.match(await sendBytes(context, evil, []), /evil/)
  })

  for (const [what, text] of [
    ['a second list of messages', evil],
    ['a second content', nested],
  ] as const) {
    it(`is what is sent, not ${what}: by texts()`, async (context) => {
      const looks = hookPlugin('looks', { transform: (exchange) => void [...exchange.texts()] })
      const sent = await sendBytes(context, text, [looks])
      assert.ok(!sent.includes('evil'), sent)
      assert.ok(!sent.includes('encoded'), 'the client’s own fields were given up')
    })

    it(`is what is sent, not ${what}: by reading the request`, async (context) => {
      const looks = hookPlugin(
        'looks',
        { transform: (exchange) => void JSON.stringify(exchange.request.messages) },
        { guardrail: { input: true } },
      )
      assert.ok(!(await sendBytes(context, text, [looks])).includes('evil'))
    })
  }

  it('is sent in its changed form', async (context) => {
    const censors = hookPlugin('censors', {
      transform: (exchange) => exchange.texts().replace((text) => text.replace('fine', 'good')),
    })
    const sent = await sendBytes(context, evil, [censors])
    assert.deepEqual(JSON.parse(sent), { encoded: true, messages: [['good']] })
  })

  it('is sent in its changed form: by an attempt', async (context) => {
    const edits = hookPlugin('edits', {
      attempt(_, attempt, next) {
        attempt.edit((request) => ({ ...request, messages: [] }))
        return next()
      },
    })
    assert.deepEqual(JSON.parse(await sendBytes(context, evil, [edits])), { encoded: true, messages: [] })
  })

  it('is sent in its changed form: by a dispatch hook, by a clamp', async (context) => {
    const changes = hookPlugin('changes', { dispatch: (exchange, next) => next({ ...exchange.request, messages: [] }) })
    assert.ok(!(await sendBytes(context, evil, [changes])).includes('evil'))
    const clamps = hookPlugin('clamps', { reserve: (_, call) => call.clamp(5, 'why not') })
    assert.match(await sendBytes(context, evil, [clamps]), /"encoded":true/)
  })
})
