import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { definePlugin, gatewayError } from '../../core/contract/plugin.ts'
import type { JsonObject, Part, Purchase } from '../../core/contract/plugin.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'
import type { FakeProvider, Harness, HarnessAnswer } from '../../core/testing/index.ts'
import fileParser from '../../plugins/file-parser/index.ts'
import { chatFile, encryptedPdf, pdf } from './pdf-builder.ts'

interface OcrCall {
  readonly path: string | undefined
  readonly authorization: string | undefined
  readonly body: JsonObject
}

interface OcrServer extends AsyncDisposable {
  readonly url: string
  readonly calls: readonly OcrCall[]
}

const picture = 'data:image/png;base64,iVBORw0KGgo='

function page(markdown: string, images = 0): JsonObject {
  return { index: 0, markdown, images: Array.from({ length: images }, (_, id) => ({ id, image_base64: picture })) }
}

function answering(pages: readonly JsonObject[], processed: unknown = pages.length) {
  return (_call: OcrCall, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ pages, model: 'ocr', usage_info: { pages_processed: processed } }))
  }
}

async function ocrServer(answer: (call: OcrCall, response: ServerResponse) => void): Promise<OcrServer> {
  const calls: OcrCall[] = []
  const server = createServer((request: IncomingMessage, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    request.on('end', () => {
      const call = {
        path: request.url,
        authorization: request.headers.authorization,
        body: JSON.parse(text) as JsonObject,
      }
      calls.push(call)
      answer(call, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** Refuses or remembers what is bought. */
function purse(refuse = false): { readonly plugin: ReturnType<typeof definePlugin>; readonly asked: Purchase[] } {
  const asked: Purchase[] = []
  const plugin = definePlugin({
    name: 'purse',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    setup: () => ({
      reserve(_exchange, { purchase }) {
        if (!purchase) return
        asked.push(purchase)
        if (refuse) throw gatewayError('budget_exceeded', 'Nothing left')
      },
    }),
  })
  return { plugin, asked }
}

interface Site {
  readonly server: OcrServer
  readonly options?: JsonObject
  readonly provider?: FakeProvider
  readonly plugins?: readonly ReturnType<typeof definePlugin>[]
}

function gateway({ server, options = {}, provider = fakeProvider(), plugins = [] }: Site): Promise<Harness> {
  return harness({
    plugins: [...plugins, [fileParser, { mistral_api_key: 'secret', mistral_base_url: server.url, ...options }]],
    provider,
  })
}

const ocr = { plugins: [{ id: 'file-parser', pdf: { engine: 'mistral-ocr' } }] }
const scan = pdf(['', ''])
const other = pdf(['', '', ''])

function files(...bytes: Uint8Array[]): JsonObject {
  return { messages: [{ role: 'user', content: bytes.map((each) => chatFile(each)) }] }
}

function errorOf({ body }: HarnessAnswer): JsonObject {
  return body['error'] as JsonObject
}

function contentOf({ provider }: Harness): readonly Part[] {
  return provider.calls.at(-1)!.request.messages[0]!.content
}

function annotationsOf({ body }: HarnessAnswer): { file: { hash: string; content: JsonObject[] } }[] {
  const [choice] = body['choices'] as {
    message: { annotations: { file: { hash: string; content: JsonObject[] } }[] }
  }[]
  return choice!.message.annotations
}

describe('file-parser: mistral-ocr', () => {
  it('sends the PDF with the key of the operator, and charges the pages that were read', async () => {
    await using server = await ocrServer(answering([page('# One'), page('Two')]))
    const { plugin, asked } = purse()
    await using site = await gateway({ server, plugins: [plugin] })
    const answer = await site.send({ ...ocr, ...files(scan) })
    assert.equal(answer.status, 200)
    assert.deepEqual(contentOf(site), [{ type: 'text', text: '<file name="paper.pdf">\n# One\n\nTwo\n</file>' }])
    const [call] = server.calls
    assert.equal(call!.path, '/v1/ocr')
    assert.equal(call!.authorization, 'Bearer secret')
    assert.deepEqual(call!.body, {
      model: 'mistral-ocr-latest',
      document: { type: 'document_url', document_url: `data:application/pdf;base64,${scan.toString('base64')}` },
      include_image_base64: false,
    })
    assert.deepEqual(asked, [{ item: 'document_pages', quantity: 2, costMicros: 4000 }])
    assert.deepEqual(answer.outcome.purchases, [{ item: 'document_pages', quantity: 2, costMicros: 4000 }])
    assert.equal(answer.outcome.usage?.costMicros, 4000)
  })

  it('charges what the service counts, by the price of the operator, rounded up', async () => {
    await using server = await ocrServer(answering([page('One')], 1))
    await using site = await gateway({ server, options: { ocr_price_per_1000_pages_usd: 0.0015 } })
    const answer = await site.send({ ...ocr, ...files(other) })
    assert.deepEqual(answer.outcome.purchases, [{ item: 'document_pages', quantity: 3, costMicros: 2 }])
  })

  it('takes the pages of the PDF where the service counts none', async () => {
    await using server = await ocrServer(answering([page('One')], 'many'))
    await using site = await gateway({ server })
    const answer = await site.send({ ...ocr, ...files(other) })
    assert.equal(answer.outcome.purchases[0]?.costMicros, 6000)
  })

  it('sends nothing where the budget refuses, and says 402', async () => {
    await using server = await ocrServer(answering([page('One')]))
    const { plugin } = purse(true)
    await using site = await gateway({ server, plugins: [plugin] })
    const answer = await site.send({ ...ocr, ...files(scan) })
    assert.equal(answer.status, 402)
    assert.equal(errorOf(answer)['code'], 'budget_exceeded')
    assert.equal(server.calls.length, 0)
    assert.equal(site.provider.calls.length, 0)
    assert.deepEqual(answer.outcome.purchases, [])
  })

  it('pays for nothing that cannot be opened', async () => {
    await using server = await ocrServer(answering([page('One')]))
    await using site = await gateway({ server, options: { max_pages: 2 } })
    for (const bytes of [encryptedPdf(), Buffer.from('%PDF-1.4 garbage'), other]) {
      const answer = await site.send({ ...ocr, ...files(bytes) })
      assert.equal(answer.status, 400)
      assert.deepEqual(answer.outcome.purchases, [])
    }
    assert.equal(server.calls.length, 0)
  })

  it('is left when the client goes away, and charges nothing', async () => {
    const controller = new AbortController()
    const closed = Promise.withResolvers<void>()
    await using server = await ocrServer((_call, response) => {
      response.on('close', () => closed.resolve())
      controller.abort()
    })
    await using site = await gateway({ server })
    const answer = await site.send({ ...ocr, ...files(scan) }, { signal: controller.signal })
    await closed.promise
    assert.equal(answer.outcome.status, 'aborted')
    assert.deepEqual(answer.outcome.purchases, [])
    assert.equal(site.provider.calls.length, 0)
  })

  it('fails as the service does, without a charge and without its words or the key', async () => {
    for (const [status, headers, expected, code] of [
      [500, {}, 502, 'provider_error'],
      [401, {}, 502, 'provider_error'],
      [302, { location: 'http://127.0.0.1:1/' }, 502, 'provider_error'],
      [429, { 'retry-after': '7' }, 503, 'provider_unavailable'],
      [422, {}, 400, 'invalid_request_error'],
    ] as const) {
      await using server = await ocrServer((_call, response) => {
        response.writeHead(status, { 'content-type': 'application/json', ...headers })
        response.end('{"detail":"secret words"}')
      })
      await using site = await gateway({ server })
      const answer = await site.send({ ...ocr, ...files(scan) })
      assert.equal(answer.status, expected)
      assert.equal(errorOf(answer)['code'], code)
      assert.doesNotMatch(JSON.stringify(answer.body), /secret/)
      assert.deepEqual(answer.outcome.purchases, [])
      if (status === 429) assert.equal(answer.headers['Retry-After'], '7')
    }
  })

  it('fails for an answer that makes no sense', async () => {
    for (const body of ['{', '[]', '{"pages":5}', 'null']) {
      await using server = await ocrServer((_call, response) => {
        response.writeHead(200, { 'content-type': 'application/json' })
        response.end(body)
      })
      await using site = await gateway({ server })
      assert.equal((await site.send({ ...ocr, ...files(scan) })).status, 502, body)
    }
  })

  it('fails after its own time', async () => {
    await using server = await ocrServer(() => void site.clock.advance(1000))
    await using site = await gateway({ server, options: { ocr_timeout_ms: 1000 } })
    const answer = await site.send({ ...ocr, ...files(scan) })
    assert.equal(answer.status, 504)
    assert.equal(errorOf(answer)['code'], 'provider_timeout')
  })

  it('sends pictures on to targets that take them: eight of a PDF asked for, eight of a request', async () => {
    const seeing = (): FakeProvider => fakeProvider(undefined, { input: ['image'] })
    await using server = await ocrServer(answering([page('One', 5), page('Two', 5)]))
    await using site = await gateway({ server, provider: seeing() })
    const answer = await site.send({ ...ocr, ...files(scan, other) })
    assert.equal(server.calls[0]!.body['include_image_base64'], true)
    assert.equal(server.calls[0]!.body['image_limit'], 8)
    const parts = contentOf(site)
    assert.equal(parts.filter(({ type }) => type === 'media').length, 8)
    assert.deepEqual(parts[1], { type: 'media', kind: 'image', mediaType: 'image/png', data: 'iVBORw0KGgo=' })
    const texts = parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
    assert.equal(texts.match(/One\n*Two/g)?.length, 2, 'the text is kept in full')
    for (const { file } of annotationsOf(answer))
      assert.equal(file.content.filter(({ type }) => type === 'image_url').length, 8)
  })

  it('strips pictures that come back in annotations for targets without eyes', async () => {
    await using server = await ocrServer(answering([]))
    await using site = await gateway({ server })
    const content = [
      { type: 'text', text: 'known' },
      { type: 'image_url', image_url: { url: picture } },
    ]
    const hash = createHash('sha256').update(scan).digest('hex')
    const history = { role: 'assistant', content: 'Yes', annotations: [{ type: 'file', file: { hash, content } }] }
    const { messages } = files(scan) as { messages: object[] }
    const answer = await site.send({ ...ocr, messages: [...messages, history] })
    assert.equal(server.calls.length, 0)
    assert.deepEqual(answer.outcome.purchases, [])
    assert.deepEqual(contentOf(site), [{ type: 'text', text: '<file name="paper.pdf">\nknown\n</file>' }])
  })

  it('reads and charges a file once that is there twice', async () => {
    await using server = await ocrServer(answering([page('One')]))
    await using site = await gateway({ server })
    const answer = await site.send({ ...ocr, ...files(scan, scan) })
    assert.equal(server.calls.length, 1)
    assert.equal(answer.outcome.purchases.length, 1)
    assert.equal(annotationsOf(answer).length, 1)
    assert.equal(contentOf(site).length, 2)
  })

  it('reads again what it read before, unless the operator has it kept', async () => {
    for (const [options, calls] of [
      [{}, 2],
      [{ cache_ocr: true }, 1],
      [{ cache_ocr: true, cache_bytes: 0 }, 2],
    ] as const) {
      await using server = await ocrServer(answering([page('One')]))
      await using site = await gateway({ server, options })
      for (let time = 0; time < 2; time++) assert.equal((await site.send({ ...ocr, ...files(scan) })).status, 200)
      assert.equal(server.calls.length, calls)
    }
  })

  it('is the default, and reads scans, where the operator says so', async () => {
    await using server = await ocrServer(answering([page('Read')]))
    await using always = await gateway({ server, options: { default_engine: 'mistral-ocr' } })
    await always.send(files(scan))
    assert.match(JSON.stringify(contentOf(always)), /Read/)
    await using scans = await gateway({ server, options: { ocr_scanned_pdfs: true } })
    const answer = await scans.send(files(scan))
    assert.match(JSON.stringify(contentOf(scans)), /Read/)
    assert.equal(answer.outcome.purchases[0]?.quantity, 2)
    await scans.send(files(pdf(['Has text'])))
    assert.equal(server.calls.length, 2)
  })

  it('is named in a warning where a scan has no text and nothing reads it', async () => {
    await using server = await ocrServer(answering([]))
    await using site = await gateway({ server })
    const answer = await site.send(files(scan), { headers: { 'x-hadrian-metadata': 'enabled' } })
    const { warnings } = answer.body['hadrian_metadata'] as { warnings: JsonObject[] }
    assert.deepEqual(
      warnings.map(({ code, param }) => [code, param]),
      [['file_without_text', 'messages[0].content[0]']],
    )
  })

  it('gives what was paid for back with the error, where another file or the provider fails', async () => {
    await using server = await ocrServer(answering([page('Paid')]))
    const failing = fakeProvider(() => {
      throw gatewayError('provider_error', 'down')
    })
    await using site = await gateway({ server, provider: failing })
    const answer = await site.send({ ...ocr, ...files(scan) })
    assert.equal(answer.status, 502)
    assert.equal(answer.outcome.purchases.length, 1, 'what was bought is charged all the same')
    const { file_annotations: annotations } = errorOf(answer)['details'] as { file_annotations: JsonObject[] }
    assert.match(JSON.stringify(annotations), /Paid/)
    const history = { role: 'assistant', content: '', annotations }
    const { messages } = files(scan) as { messages: object[] }
    const again = await site.send({ ...ocr, messages: [...messages, history] })
    assert.deepEqual(again.outcome.purchases, [])
    assert.equal(server.calls.length, 1)
  })
})
