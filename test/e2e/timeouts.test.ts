/** Silence: keep-alive comments for the client, and the four limits on an upstream, on a clock that the test moves. */

import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { FakeClock } from '../../core/testing/fake-clock.ts'
import { checkStream } from '../open-responses.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { gate, streamed } from './scripted-upstream.ts'
import type { Answer, Json, Piece } from './scripted-upstream.ts'
import { chunks, readerOf, saidIn } from './stream-client.ts'
import { chatChunk, chatRecords, messageRecords, record, responseRecords } from './wire-answers.ts'

const limits = { first_byte_ms: 10_000, idle_ms: 7_000, total_ms: 60_000 }
const keepAliveMs = 3_000

let running: RunningGateway
let clock: FakeClock

before(async () => {
  clock = new FakeClock()
  running = await startGateway({
    config: { server: { keep_alive_interval_ms: keepAliveMs }, timeouts: limits },
    overrides: { clock },
  })
})
after(() => running.close())

const hello = { messages: [{ role: 'user', content: 'Hello' }] }
const kinds = [
  ['chat-only/m', chatRecords],
  ['responses-only/m', responseRecords],
  ['anthropic/claude-sonnet-4-5', messageRecords],
] as const

/** Sends a call, and returns when the upstream has it. */
async function ask(model: string, answer: Answer, more: Json = {}): Promise<{ readonly response: Promise<Response> }> {
  const count = running.upstream.calls.length
  running.upstream.answer(answer)
  const response = running.post(pathOf(more), { model, stream: true, ...('input' in more ? {} : hello), ...more })
  await running.upstream.received(count + 1)
  return { response }
}

function pathOf(body: Json): string {
  return 'input' in body ? '/v1/responses' : '/v1/chat/completions'
}

function checkTimeout(error: Json, timeout: string, limitMs: number): void {
  assert.equal(error['code'], 'provider_timeout')
  assert.equal(error['type'], 'server_error')
  assert.deepEqual(error['details'], { provider: (error['details'] as Json)['provider'], timeout, limit_ms: limitMs })
}

async function refused(response: Response): Promise<Json> {
  assert.equal(response.status, 504)
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
  return ((await response.json()) as { error: Json }).error
}

describe('keep-alive', { timeout: 10_000 }, () => {
  it('is a comment after each interval of silence, and none while there is something to say', async () => {
    const [next, last] = [gate(), gate()]
    const records = chatRecords()
    const pieces = [...records.slice(0, 2), next.wait, ...records.slice(2, 3), last.wait, ...records.slice(3)]
    const { response } = await ask('native/m', streamed(pieces))
    const reader = readerOf(await response)
    await reader.until('Grüße')
    await clock.advance(keepAliveMs - 1)
    await clock.advance(1)
    await reader.until(': keep-alive')
    await clock.advance(keepAliveMs - 1)
    next.open()
    await reader.until('世界')
    await clock.advance(keepAliveMs - 1)
    last.open()
    assert.equal(saidIn(await reader.rest()), 'Grüße, 世界 🌍!')
    assert.equal(reader.text().split(': keep-alive\n\n').length - 1, 1)
  })

  it('goes on for as long as the silence', async () => {
    const next = gate()
    const { response } = await ask(
      'anthropic/claude-sonnet-4-5',
      streamed([...messageRecords().slice(0, 3), next.wait]),
    )
    const reader = readerOf(await response)
    await reader.until('Grüße')
    await clock.advance(keepAliveMs)
    await clock.advance(keepAliveMs)
    await reader.until(': keep-alive\n\n: keep-alive\n\n')
    next.open()
    await reader.rest()
  })
})

describe('a limit on an upstream', { timeout: 20_000 }, () => {
  for (const [model, records] of kinds) {
    it(`first byte: no head (${model})`, async () => {
      for (const stream of [true, false]) {
        const { response } = await ask(model, { body: [], silent: true }, { stream })
        await clock.advance(limits.first_byte_ms)
        checkTimeout(await refused(await response), 'first_byte', limits.first_byte_ms)
        await running.upstream.last().closed
      }
    })

    it(`first byte: a head and no body (${model})`, async () => {
      const { response } = await ask(model, streamed([], { ending: 'stall' }))
      await clock.advance(limits.first_byte_ms)
      checkTimeout(await refused(await response), 'first_byte', limits.first_byte_ms)
    })

    it(`first byte: the input is paid for, since the upstream may have been thinking (${model})`, async () => {
      const count = running.outcomes.length
      const { response } = await ask(model, { body: [], silent: true }, { stream: false })
      await clock.advance(limits.first_byte_ms)
      await (await response).text()
      const { status, usage } = (await running.ended(count + 1)).at(-1)!
      assert.deepEqual([status, usage], ['failed', { inputTokens: 2, outputTokens: 0, estimated: true }])
    })

    it(`idle: a silence inside a stream (${model})`, async () => {
      for (const more of [{}, { input: 'Hello' }]) {
        const words = records()
        const begin = words.slice(0, words.findIndex((each) => each.includes('Grüße')) + 1)
        const { response } = await ask(model, streamed(begin, { ending: 'stall' }), more)
        const reader = readerOf(await response)
        await reader.until('Grüße')
        await clock.advance(limits.idle_ms)
        const body = await reader.rest()
        assert.ok(!body.includes('[DONE]'))
        if ('input' in more) assert.equal(checkStream(body)['status'], 'failed')
        else checkTimeout(chunks(body).at(-1)!['error'] as Json, 'idle', limits.idle_ms)
        await running.upstream.last().closed
      }
    })
  }

  it('idle: an upstream that stays on the line after its last word is waited for a moment', async () => {
    const { response } = await ask('chat-only/m', streamed(chatRecords(), { ending: 'stall' }))
    const reader = readerOf(await response)
    await reader.until('🌍!')
    await clock.advance(1000)
    const body = await reader.rest()
    assert.match(body, /data: \[DONE\]\n\n$/)
    assert.equal(saidIn(body), 'Grüße, 世界 🌍!')
    await running.upstream.last().closed
  })

  it('idle: a silence inside a body', async () => {
    const half: Answer = { headers: { 'content-type': 'application/json' }, body: ['{"id":'], ending: 'stall' }
    const { response } = await ask('native/m', half, { stream: false })
    // The first byte must be in before its limit is over, or that limit would be the one.
    await arrived(response)
    await clock.advance(limits.idle_ms)
    checkTimeout(await refused(await response), 'idle', limits.idle_ms)
  })

  it('total: an answer that never ends', async () => {
    const step = gate()
    const gates = [step, ...Array.from({ length: 12 }, () => gate())]
    const { response } = await ask('native/m', streamed(slowly(gates)))
    const reader = readerOf(await response)
    await reader.until('word 0')
    for (const [number, { open }] of gates.entries()) {
      await clock.advance(limits.idle_ms - 1000)
      if (reader.text().includes('error')) break
      open()
      await Promise.race([reader.until(`word ${number + 1}`).catch(() => undefined), running.upstream.last().closed])
    }
    checkTimeout(chunks(await reader.rest()).at(-1)!['error'] as Json, 'total', limits.total_ms)
  })

  it('total, before the first byte: another target answers', async () => {
    const slow = new FakeClock()
    await using other = await startGateway({
      config: { timeouts: { first_byte_ms: 9_000, total_ms: 500 } },
      overrides: { clock: slow },
    })
    other.upstream.answer({ body: [], silent: true })
    const response = other.post('/v1/chat/completions', { model: 'native/m', models: ['chat-only/m'], ...hello })
    await other.upstream.received(1)
    await slow.advance(500)
    const answer = await response
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('x-provider'), 'chat-only')
    assert.equal((await other.ended(1))[0]!.attempts[0]!.error?.details?.['timeout'], 'total')
  })

  it('connect: nobody accepts', async () => {
    await using deaf = await deafServer()
    await using other = await startGateway({
      config: {
        providers: {
          deaf: { type: 'openai', base_url: deaf.url, timeouts: { connect_ms: 100 } },
          gone: { type: 'openai', base_url: await closedUrl() },
        },
      },
    })
    const deafAnswer = await refused(await other.post('/v1/chat/completions', { model: 'deaf/m', ...hello }))
    checkTimeout(deafAnswer, 'connect', 100)
    const gone = await other.post('/v1/chat/completions', { model: 'gone/m', ...hello })
    assert.equal(gone.status, 502)
    const { error } = (await gone.json()) as { error: Json }
    assert.equal(error['code'], 'provider_error')
    assert.doesNotMatch(String(error['message']), /127\.0\.0\.1|ECONN/)
  })

  it('moves on to the next model', async () => {
    const { response } = await ask('native/m', { body: [], silent: true }, { models: ['chat-only/m'] })
    await clock.advance(limits.first_byte_ms)
    const answer = await response
    assert.equal(answer.headers.get('x-provider'), 'chat-only')
    assert.equal(saidIn(await answer.text()), 'Grüße, 世界 🌍!')
  })
})

/** Words, one for each gate that opens. */
function* slowly(gates: readonly { readonly wait: Promise<void> }[]): Generator<Piece> {
  yield record(chatChunk({ content: 'word 0 ' }))
  for (const [number, { wait }] of gates.entries()) {
    yield wait
    yield record(chatChunk({ content: `word ${number + 1} ` }))
  }
}

/** Half an answer shows nothing at the client: some turns are enough for what is on the way inside this process. */
async function arrived(pending: Promise<Response>): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await Promise.race([pending, Promise.resolve('open')]), 'open')
}

/** A server whose queue of connections is full and whose process does not look at it. */
async function deafServer(): Promise<AsyncDisposable & { readonly url: string }> {
  const worker = new Worker(
    `const { createServer, connect } = require('node:net')
     const { parentPort } = require('node:worker_threads')
     const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
     })`,
    { eval: true },
  )
  const port = await new Promise<number>((resolve) => worker.once('message', resolve))
  const fillers = Array.from({ length: 4 }, () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    return socket
  })
  await Promise.race(fillers.map((socket) => new Promise<void>((resolve) => socket.once('connect', resolve))))
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of fillers) socket.destroy()
      await worker.terminate()
    },
  }
}

/** An address where nobody listens any more. */
async function closedUrl(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}`
}
