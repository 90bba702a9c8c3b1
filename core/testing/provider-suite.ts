import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ajv } from 'ajv'
import { answerOf } from '../contract/answer.ts'
import type { GenerateRequest, JsonObject, StreamEvent } from '../contract/canonical.ts'
import { isGatewayError } from '../contract/errors.ts'
import type { HttpProvider, ProviderDefinition, ServerSentEvent, Target, WireRequest } from '../contract/provider.ts'
import { EventSplitter, record } from '../http/sse.ts'
import { FakeClock } from './fake-clock.ts'

/** A recorded exchange with the upstream. */
export interface RecordedExchange {
  readonly name: string
  /** The dialect of the wire, as `encode` says it. */
  readonly dialect: string
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** A whole answer, or an error. */
  readonly body?: unknown
  /** The records of a streamed answer. */
  readonly records?: readonly ServerSentEvent[]
}

export interface ProviderSuiteOptions {
  /** Options the provider can be set up with, as under `[providers.INSTANCE]`. */
  readonly options?: JsonObject
  readonly exchanges: readonly RecordedExchange[]
  /** Canonical requests that `encode` must cope with. */
  readonly requests?: readonly GenerateRequest[]
}

const target: Target = { provider: 'suite', model: 'model-1', name: 'suite/model-1', requested: 'suite/model-1' }

/**
 * The tests every provider with an HTTP transport must pass: pure encoding, total decoding, the same events however the
 * bytes of a stream are split, and errors that say what they are.
 */
export function providerSuite(definition: ProviderDefinition, suite: ProviderSuiteOptions): void {
  const setUp = async (): Promise<HttpProvider> => {
    const options = { ...structuredClone(suite.options) }
    const validate = new Ajv({ strict: false, useDefaults: true }).compile(definition.options)
    assert.equal(validate(options), true, JSON.stringify(validate.errors))
    const provider = await definition.setup({
      instance: 'suite',
      options,
      logger: silent,
      clock: new FakeClock(),
      fetch: () => Promise.reject(new Error('the suite has no network')),
    })
    assert.ok(!provider.send, 'the suite is for providers with an HTTP transport')
    return provider
  }

  describe(`provider contract: ${definition.name}`, () => {
    it('has sound options that refuse unknown keys', async () => {
      await setUp()
      const validate = new Ajv({ strict: false }).compile(definition.options)
      assert.equal(validate({ ...structuredClone(suite.options), 'no-such-option': 1 }), false, 'unknown options pass')
    })

    for (const exchange of suite.exchanges) {
      const wire: WireRequest = { method: 'POST', path: '/', headers: {}, dialect: exchange.dialect }
      if (exchange.status >= 300)
        it(`turns into an error: ${exchange.name}`, async () => checkError(await setUp(), exchange))
      else if (exchange.records) {
        it(`decodes alike for every split of the bytes: ${exchange.name}`, async () =>
          checkSplits(await setUp(), exchange, wire))
        it(`survives a cut at every record: ${exchange.name}`, async () => checkCuts(await setUp(), exchange, wire))
      } else it(`decodes: ${exchange.name}`, async () => checkWhole((await setUp()).decode(exchange.body, wire)))
    }

    it('is total: strange records are no error', async () => {
      const provider = await setUp()
      for (const dialect of new Set(suite.exchanges.map((exchange) => exchange.dialect))) {
        const decoder = provider.decoder({ method: 'POST', path: '/', headers: {}, dialect })
        for (const data of ['{}', '[]', 'null', '0', '"text"', '{"type":"of tomorrow","delta":null}', '{"choices":[]}'])
          decoder.push({ event: 'of tomorrow', data })
      }
    })

    for (const [index, request] of (suite.requests ?? []).entries())
      it(`encodes purely and to JSON: request ${index}`, async () => {
        const provider = await setUp()
        const before = structuredClone(request)
        const first = provider.encode(request, target)
        assert.deepEqual(provider.encode(request, target), first, 'encode is not pure')
        assert.deepEqual(request, before, 'encode changed the request')
        assert.equal(typeof JSON.stringify(first.wire.body), 'string')
        assert.ok(first.warnings.every(({ code, message }) => code !== '' && message !== ''))
      })
  })
}

function checkError(provider: HttpProvider, { status, headers = {}, body }: RecordedExchange): void {
  const error = provider.decodeError(status, headers, body)
  assert.ok(isGatewayError(error))
  assert.ok(
    error.status >= 400 && error.status !== 401 && error.status !== 403,
    `an upstream ${status} reaches the client as ${error.status}`,
  )
  for (const strange of [undefined, null, '', '<html>', 0, [], { error: null }, { error: { message: 5 } }])
    assert.ok(isGatewayError(provider.decodeError(status, headers, strange)))
}

function checkWhole(events: readonly StreamEvent[]): void {
  const answer = answerOf(events)
  assert.equal(answer.error, undefined)
  assert.ok(
    events.some(({ type }) => type === 'finish' || type === 'part'),
    'the answer does not finish',
  )
}

/** Every split of the bytes in two, with LF and with CRLF, gives the events of the unsplit stream. */
function checkSplits(provider: HttpProvider, { records = [] }: RecordedExchange, wire: WireRequest): void {
  const text = records.map(({ data, event }) => record(data, event)).join('')
  for (const bytes of [Buffer.from(text), Buffer.from(text.replaceAll('\n', '\r\n'))]) {
    const expected = decodeBytes(provider, wire, [bytes])
    checkWhole(expected)
    const step = Math.max(1, Math.floor(bytes.length / mostSplits))
    for (let at = 1; at < bytes.length; at += bytes.length <= mostSplits ? 1 : 1 + ((at * 7) % (2 * step)))
      assert.deepEqual(
        decodeBytes(provider, wire, [bytes.subarray(0, at), bytes.subarray(at)]),
        expected,
        `split at byte ${at}`,
      )
    const single = Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1))
    assert.deepEqual(decodeBytes(provider, wire, single), expected, 'byte by byte')
  }
}

/** A long recording is split at this many places in two; byte by byte still covers every border. */
const mostSplits = 400

function checkCuts(provider: HttpProvider, { records = [] }: RecordedExchange, wire: WireRequest): void {
  for (let kept = 0; kept < records.length; kept++) {
    const decoder = provider.decoder(wire)
    for (const message of records.slice(0, kept)) decoder.push(message)
    decoder.end()
  }
}

function decodeBytes(provider: HttpProvider, wire: WireRequest, pieces: readonly Uint8Array[]): readonly StreamEvent[] {
  const splitter = new EventSplitter()
  const decoder = provider.decoder(wire)
  const events = pieces.flatMap((piece) => splitter.push(piece).flatMap((message) => decoder.push(message)))
  for (const message of splitter.end()) events.push(...decoder.push(message))
  return [...events, ...decoder.end()]
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
