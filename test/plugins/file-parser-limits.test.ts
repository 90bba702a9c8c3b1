import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { FakeClock, harness } from '../../core/testing/index.ts'
import type { Harness, HarnessAnswer } from '../../core/testing/index.ts'
import fileParser from '../../plugins/file-parser/index.ts'
import { PdfFailure, PdfReader } from '../../plugins/file-parser/pdf-reader.ts'
import type { PdfReaderOptions } from '../../plugins/file-parser/pdf-reader.ts'
import { bomb, chatFile, encryptedPdf, pdf } from './pdf-builder.ts'

const readers: PdfReader[] = []
after(async () => {
  for (const reader of readers) await reader.stop()
})

function reader(options: Partial<PdfReaderOptions> = {}): { readonly reader: PdfReader; readonly clock: FakeClock } {
  const clock = new FakeClock()
  const made = new PdfReader({
    clock,
    maxPages: 50,
    maxCharacters: 10_000,
    timeoutMs: 10_000,
    memoryBytes: 256 * 1024 * 1024,
    maxQueue: 3,
    ...options,
  })
  readers.push(made)
  return { reader: made, clock }
}

const never = new AbortController().signal
const small = pdf(['Fine'])
/** Takes many seconds, and ever more memory. */
const slow = bomb(400)

function text(of: PdfReader, bytes: Uint8Array, signal = never): Promise<{ pages: number; text: string }> {
  return of.read(bytes, { want: 'text', signal })
}

function isFailure(kind: string): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof PdfFailure, String(error))
    assert.equal(error.kind, kind)
    return true
  }
}

/** Lets time pass until a promise is settled. */
async function passing<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
  const state = { settled: false }
  const watched = promise.finally(() => {
    state.settled = true
  })
  watched.catch(() => undefined)
  while (!state.settled) {
    await clock.advance(10)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return watched
}

describe('file-parser: the thread that reads PDFs', () => {
  it('reads one after the other in the same thread, and counts pages', async () => {
    const { reader: pdfs } = reader()
    const [first, second, count] = await Promise.all([
      text(pdfs, pdf(['One', 'Two'])),
      text(pdfs, pdf(['Three'])),
      pdfs.read(pdf(['a', 'b', 'c']), { want: 'count', signal: never }),
    ])
    assert.deepEqual(first, { pages: 2, text: 'One\n\nTwo' })
    assert.deepEqual(second, { pages: 1, text: 'Three' })
    assert.deepEqual(count, { pages: 3, text: '' })
  })

  it('leaves the caller its bytes', async () => {
    const { reader: pdfs } = reader()
    const bytes = pdf(['Mine'])
    await text(pdfs, bytes)
    assert.deepEqual(bytes, pdf(['Mine']))
  })

  it('goes on after garbage, encryption and lies', async () => {
    const { reader: pdfs } = reader()
    const cut = pdf(['Cut'])
    for (const [bytes, kind] of [
      [Buffer.from('%PDF-1.7 and nothing else'), 'unreadable'],
      [Buffer.concat([Buffer.from('%PDF-1.4\n'), Buffer.alloc(5000, 0xfe)]), 'unreadable'],
      [cut.subarray(0, 60), 'unreadable'],
      [encryptedPdf(), 'encrypted'],
      [pdf(Array.from({ length: 51 }, () => 'x')), 'pages'],
      [
        pdf(
          Array.from({ length: 40 }, () =>
            Buffer.from(`BT /F1 1 Tf 2 TL 9 700 Td ${"(many words) ' ".repeat(300)} ET`),
          ),
        ),
        'characters',
      ],
    ] as const) {
      await assert.rejects(text(pdfs, bytes), isFailure(kind))
      assert.equal((await text(pdfs, small)).text, 'Fine')
    }
  })

  it('survives a page that refers to itself', async () => {
    const { reader: pdfs } = reader()
    const loop = Buffer.from(
      '%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n' +
        '2 0 obj\n<< /Type /Pages /Kids [2 0 R] /Count 1 >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n',
    )
    await assert.rejects(text(pdfs, loop), isFailure('unreadable'))
    assert.equal((await text(pdfs, small)).text, 'Fine')
  })

  it('ends a PDF that takes too long, and only that', async () => {
    const { reader: pdfs, clock } = reader({ timeoutMs: 1000 })
    assert.equal((await text(pdfs, small)).text, 'Fine')
    const long = text(pdfs, slow)
    const next = text(pdfs, small)
    long.catch(() => undefined)
    await clock.advance(999)
    await clock.advance(1)
    await assert.rejects(long, isFailure('timeout'))
    assert.equal((await next).text, 'Fine')
  })

  it('ends a PDF whose buffers outgrow the limit', async () => {
    const { reader: pdfs, clock } = reader({ memoryBytes: 64 * 1024 * 1024, timeoutMs: 1e9 })
    await assert.rejects(passing(clock, text(pdfs, slow)), isFailure('memory'))
    assert.equal((await text(pdfs, small)).text, 'Fine')
  })

  it('ends a PDF whose objects outgrow the heap', async () => {
    const { reader: pdfs } = reader({ memoryBytes: 16 * 1024 * 1024, maxCharacters: 1e9 })
    const words = pdf([Buffer.from(`BT /F1 1 Tf 0.001 TL 9 700 Td ${"(many words) ' ".repeat(400_000)} ET`)])
    await assert.rejects(text(pdfs, words), isFailure('memory'))
    assert.equal((await text(pdfs, small)).text, 'Fine')
  })

  it('stops for a caller who has gone away, at work or waiting', async () => {
    const { reader: pdfs } = reader()
    const [atWork, waiting] = [new AbortController(), new AbortController()]
    const first = text(pdfs, slow, atWork.signal)
    const second = text(pdfs, small, waiting.signal)
    const third = text(pdfs, small)
    waiting.abort(new Error('left early'))
    await assert.rejects(second, /left early/)
    atWork.abort(new Error('left'))
    await assert.rejects(first, /left/)
    assert.equal((await third).text, 'Fine')
    await assert.rejects(text(pdfs, small, AbortSignal.abort(new Error('gone before'))), /gone before/)
  })

  it('lets only so many wait', async () => {
    const { reader: pdfs } = reader({ maxQueue: 1 })
    const controller = new AbortController()
    const first = text(pdfs, slow, controller.signal)
    const second = text(pdfs, small)
    await assert.rejects(text(pdfs, small), isFailure('busy'))
    controller.abort(new Error('left'))
    await assert.rejects(first)
    assert.equal((await second).text, 'Fine')
  })

  it('gives the thread back after half a minute without work', async () => {
    const { reader: pdfs, clock } = reader()
    await text(pdfs, small)
    await clock.advance(29_000)
    assert.equal(pdfs.hasWorker, true)
    await clock.advance(1000)
    assert.equal(pdfs.hasWorker, false)
    assert.equal((await text(pdfs, small)).text, 'Fine')
  })

  it('stops, with what waits', async () => {
    const { reader: pdfs, clock } = reader()
    const first = text(pdfs, slow)
    const second = text(pdfs, small)
    const stopped = pdfs.stop()
    await assert.rejects(first, isFailure('stopped'))
    await assert.rejects(second, isFailure('stopped'))
    await stopped
    await pdfs.stop()
    await assert.rejects(text(pdfs, small), isFailure('stopped'))
    assert.equal(clock.pending, 0)
  })
})

describe('file-parser: limits', () => {
  const errorOf = ({ body }: HarnessAnswer): JsonObject => body['error'] as JsonObject
  const files = (...bytes: Uint8Array[]): JsonObject => ({
    messages: [{ role: 'user', content: bytes.map((each) => chatFile(each)) }],
  })
  const gateway = (options: JsonObject = {}): Promise<Harness> => harness({ plugins: [[fileParser, options]] })

  it('each give a 400 that says what is wrong and where', async () => {
    for (const [options, bytes, said, param] of [
      [{ max_files: 1 }, [small, small], /at most 1/, 'messages[0].content[1]'],
      [{ max_file_bytes: 1024 }, [small, pdf(['x'.repeat(2000)])], /more than 1024 bytes/, 'messages[0].content[1]'],
      [{ max_pages: 2 }, [pdf(['a', 'b', 'c'])], /3 pages; at most 2/, 'messages[0].content[0]'],
      [{ max_text_characters: 5 }, [pdf(['Too long'])], /more than 5 characters/, 'messages[0].content[0]'],
      [{ max_text_characters: 5 }, [small, pdf(['More'])], /together .* 5 characters/, 'messages[0].content[1]'],
      [{}, [small, encryptedPdf()], /encrypted/, 'messages[0].content[1]'],
      [{}, [Buffer.from('%PDF-1.4 garbage')], /not a PDF that can be read/, 'messages[0].content[0]'],
    ] as const) {
      await using site = await gateway(options)
      const answer = await site.send(files(...bytes))
      assert.equal(answer.status, 400, String(said))
      assert.match(String(errorOf(answer)['message']), said)
      assert.equal(errorOf(answer)['param'], param)
      assert.equal(site.provider.calls.length, 0)
    }
  })

  it('a client may have fewer files read than the operator, not more', async () => {
    await using site = await gateway({ max_files: 2 })
    for (const [max, count, status] of [
      [1, 2, 400],
      [9, 2, 200],
      [9, 3, 400],
    ] as const) {
      const body = files(...Array.from({ length: count }, () => small))
      const answer = await site.send({ plugins: [{ id: 'file-parser', max_files: max }], ...body })
      assert.equal(answer.status, status, `${max} ${count}`)
    }
  })

  it('a text of more than the limit is refused', async () => {
    await using site = await gateway({ max_text_characters: 10 })
    const part = chatFile(Buffer.from('far too long'), { filename: 'a.txt', type: 'text/plain' })
    const answer = await site.send({ messages: [{ role: 'user', content: [part] }] })
    assert.match(String(errorOf(answer)['message']), /more than 10 characters/)
  })

  it('a PDF that takes too long is a 400, and all of them together a 504', async () => {
    for (const [options, status, said] of [
      [{ parse_timeout_ms: 1000 }, 400, /within 1000 ms/],
      [{ total_timeout_ms: 1000 }, 504, /within 1000 ms/],
    ] as const) {
      await using site = await gateway(options)
      const answer = await passing(site.clock, site.send(files(slow)))
      assert.equal(answer.status, status)
      assert.match(String(errorOf(answer)['message']), said)
    }
  })

  it('a PDF too many in the queue is a 503 with Retry-After', async () => {
    await using site = await gateway({ max_queue: 1 })
    const controller = new AbortController()
    const first = site.send(files(slow), { signal: controller.signal })
    const second = site.send(files(small), { signal: controller.signal })
    // Both have asked the thread once their transform hook has run.
    await new Promise((resolve) => setImmediate(resolve))
    const third = await site.send(files(small))
    assert.equal(third.status, 503)
    assert.equal(third.headers['Retry-After'] ?? third.headers['retry-after'], '1')
    controller.abort()
    await Promise.all([first, second])
  })

  it('a client that leaves ends the reading, and the next is served', async () => {
    await using site = await gateway()
    const controller = new AbortController()
    const left = site.send(files(slow), { signal: controller.signal })
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    assert.equal((await left).outcome.status, 'aborted')
    assert.equal((await site.send(files(small))).status, 200)
  })
})
