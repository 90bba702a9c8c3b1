import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { GenerateRequest, JsonObject } from '../contract/canonical.ts'
import type { HttpProvider, Provider, ProviderDefinition, ServerSentEvent, Target } from '../contract/provider.ts'
import { passthroughBody } from '../dialects/passthrough.ts'
import { checkAgreement, checkCuts, checkSplits, checkWhole } from './decode-checks.ts'
import { checkError } from './error-checks.ts'
import { FakeClock } from './fake-clock.ts'
import { checkSchema } from './schema-checks.ts'

/** A recorded answer of the upstream. */
export interface RecordedAnswer {
  readonly name: string
  /** The dialect of the wire, as `encode` says it. */
  readonly dialect: string
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** A whole answer, or an error. With `records` too: the same answer, whole and streamed, which must agree. */
  readonly body?: unknown
  /** The records of a streamed answer. */
  readonly records?: readonly ServerSentEvent[]
}

/** A request that `encode` must cope with. */
export interface RequestCase {
  readonly name: string
  readonly request: GenerateRequest
  /** The model of the target; default `model-1`. */
  readonly model?: string
  /**
   * The body of the client that `request` was read from. Where the provider lets it pass in its own dialect, `encode`
   * must say the same as the bytes that pass.
   */
  readonly body?: JsonObject
  /** What must go out, as far as it is given: a golden file. */
  readonly golden?: { readonly path?: string; readonly headers?: JsonObject; readonly body?: unknown }
}

/** What {@link providerSuite} needs to know of a provider. */
export interface ProviderSuiteOptions {
  /** Options the provider can be set up with, as under `[providers.INSTANCE]`. Give secrets a value: none may leak. */
  readonly options?: JsonObject
  readonly answers: readonly RecordedAnswer[]
  readonly requests?: readonly RequestCase[]
}

/**
 * The tests every provider with an HTTP transport must pass: pure encoding without credentials, total decoding, the same
 * events however the bytes of a stream are split, and errors that say what they are and leak nothing.
 *
 * Call it at the top level of a test file. A provider with a transport of its own has `transportSuite`.
 */
export function providerSuite(definition: ProviderDefinition, suite: ProviderSuiteOptions): void {
  const secrets = secretValues(definition, suite.options)
  const setUp = async (): Promise<HttpProvider> => {
    const provider = await setUpProvider(definition, suite.options)
    assert.ok(!provider.send, 'this provider has a transport of its own: use transportSuite')
    return provider
  }

  describe(`provider contract: ${definition.name}`, () => {
    it('has sound options that refuse unknown keys', () => {
      checkSchema('options', definition.options, suite.options)
      checkDefaults(definition)
    })

    it('has a base URL and paths that fit together', async () => {
      const { baseUrl, capabilities } = await setUp()
      assert.ok(URL.canParse(baseUrl), `${baseUrl} is no URL`)
      assert.ok(!baseUrl.endsWith('/'), `${baseUrl} ends with a slash, and paths begin with one`)
      for (const path of Object.values(capabilities.dialects)) assert.match(path, /^\//)
    })

    it('stops without having done anything, and twice', async () => {
      const provider = await setUp()
      await provider.stop?.()
      await provider.stop?.()
    })

    for (const answer of suite.answers) {
      const wire = { method: 'POST', path: '/', headers: {}, dialect: answer.dialect } as const
      if (answer.status >= 300)
        it(`turns into an error: ${answer.name}`, async () => checkError(await setUp(), answer, secrets))
      if (answer.status < 300 && answer.body !== undefined)
        it(`decodes: ${answer.name}`, async () => checkWhole((await setUp()).decode(answer.body, wire)))
      if (answer.records) {
        it(`decodes alike for every split of the bytes: ${answer.name}`, async () =>
          checkSplits(await setUp(), answer, wire))
        it(`survives an end after every record: ${answer.name}`, async () => checkCuts(await setUp(), answer, wire))
      }
      if (answer.records && answer.body !== undefined)
        it(`says the same whole and streamed: ${answer.name}`, async () => checkAgreement(await setUp(), answer, wire))
    }

    it('is total: strange records are no error', async () => {
      const provider = await setUp()
      for (const dialect of new Set(suite.answers.flatMap(({ dialect, records }) => (records ? [dialect] : [])))) {
        const decoder = provider.decoder({ method: 'POST', path: '/', headers: {}, dialect })
        for (const data of strangeRecords)
          for (const event of [undefined, 'of tomorrow'])
            assert.doesNotThrow(() => decoder.push({ ...(event && { event }), data }), `dialect ${dialect}: ${data}`)
      }
    })

    for (const requestCase of suite.requests ?? [])
      it(`encodes: ${requestCase.name}`, async () => checkEncode(await setUp(), requestCase, secrets))
  })
}

/** Records an upstream of tomorrow may send. */
const strangeRecords = [
  '{}',
  '[]',
  'null',
  '0',
  '"text"',
  '{"type":"of tomorrow","delta":null}',
  '{"type":null}',
  '{"choices":[]}',
  '{"choices":[null]}',
  '{"choices":[{"delta":null}]}',
  '{"choices":[{"delta":{"tool_calls":[{}]}}]}',
  '{"usage":{}}',
]

/** Sets a provider up as the kernel does: its options checked, the defaults filled in. */
export async function setUpProvider(definition: ProviderDefinition, options?: JsonObject): Promise<Provider> {
  return definition.setup({
    instance: 'suite',
    options: checkSchema('options', definition.options, options),
    logger: silent,
    clock: new FakeClock(),
    fetch: () => Promise.reject(new Error('the suite has no network')),
  })
}

/** Instances made from the environment must be possible. */
export function checkDefaults({ defaults = [], options }: ProviderDefinition): void {
  for (const { instance, environment, options: set = {} } of defaults) {
    const values = Object.fromEntries(Object.values(environment).map((option) => [option, 'http://127.0.0.1/value']))
    for (const name of Object.keys(values))
      assert.ok(options.properties?.[name], `defaults of ${instance}: there is no option ${name}`)
    checkSchema('options', options, { ...set, ...values })
  }
}

async function checkEncode(
  provider: HttpProvider,
  { request, model = 'model-1', body, golden }: RequestCase,
  secrets: readonly string[],
): Promise<void> {
  const target: Target = { provider: 'suite', model, name: `suite/${model}`, requested: `suite/${model}` }
  const before = structuredClone(request)
  const { wire, warnings } = provider.encode(request, target)
  assert.deepEqual(provider.encode(request, target), { wire, warnings }, 'encode is not pure')
  assert.deepEqual(request, before, 'encode changed the request')
  const text = JSON.stringify(wire.body)
  assert.equal(typeof text, 'string', 'the body is not JSON')
  for (const { code, message } of warnings) assert.ok(code && message, 'a warning has a code and a message')
  for (const secret of secrets)
    assert.ok(!JSON.stringify(wire).includes(secret), 'encode wrote a credential; only authorize may')
  if (golden?.path !== undefined) assert.equal(wire.path, golden.path)
  if (golden?.headers) assert.deepEqual(wire.headers, golden.headers)
  if (golden && 'body' in golden) assert.deepEqual(JSON.parse(text), golden.body)

  const authorized = await provider.authorize(wire)
  assert.deepEqual(provider.encode(request, target).wire, wire, 'authorize changed what it was given')
  assert.equal(JSON.stringify(authorized.body), text, 'authorize changed the body')
  for (const [name, value] of Object.entries(wire.headers))
    assert.equal(authorized.headers[name], value, `authorize lost the header ${name}`)

  if (!body || provider.capabilities.dialects[request.dialect] === undefined || warnings.length > 0) return
  const passing = passthroughBody({ bytes: undefined, body, request, target, capabilities: provider.capabilities })
  if (passing)
    assert.deepEqual(
      withoutNulls(JSON.parse(text)),
      withoutNulls(JSON.parse(Buffer.from(passing).toString('utf8'))),
      'encode loses or changes what passes in the same dialect, so a plugin that edits one word would too',
    )
}

/** A null field says what an absent one says. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(kept.map(([name, field]) => [name, withoutNulls(field)]))
}

function secretValues({ options }: ProviderDefinition, values: JsonObject = {}): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    typeof value === 'string' && options.properties?.[name]?.writeOnly === true ? [value] : [],
  )
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
