/** The end of a gateway: open streams may finish, but not for ever, and the process is gone afterwards. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkStream } from '../open-responses.ts'
import { startGateway } from './gateway.ts'
import { gate, openUpstream, streamed } from './scripted-upstream.ts'
import type { Json } from './scripted-upstream.ts'
import { serveProcess, withoutDatabase } from './served-process.ts'
import { chunks, rawPost, readerOf, saidIn, sendRaw } from './stream-client.ts'
import { chatRecords, responseRecords } from './wire-answers.ts'

const chat = { model: 'native/m', stream: true, messages: [{ role: 'user', content: 'Hello' }] }
const responses = { model: 'native/m', stream: true, input: 'Hello' }
const text = 'Grüße, 世界 🌍!'

describe('stopping', { timeout: 20_000 }, () => {
  it('lets open streams end, and refuses new work', async () => {
    await using running = await startGateway()
    const rest = gate()
    const records = chatRecords()
    running.upstream.answer(streamed([...records.slice(0, 2), rest.wait, ...records.slice(2)]))
    const { socket, closed } = await sendRaw(running.url, rawPost('/v1/chat/completions', chat))
    await new Promise<void>((resolve) => {
      socket.on('data', (piece: Buffer) => piece.includes('Grüße') && resolve())
    })
    const stopped = running.gateway.stop()
    assert.equal(running.gateway.stop(), stopped)
    await assert.rejects(fetch(`${running.url}/health/live`))
    socket.write(rawPost('/v1/chat/completions', chat))
    rest.open()
    const [first = '', second = ''] = (await closed).split(/(?=HTTP\/1\.1 503)/)
    assert.match(first, /data: \[DONE\]/)
    assert.match(second, /"code":"shutting_down"/)
    assert.match(second, /connection: close/i)
    await stopped
    assert.equal(running.outcomes.length, 1)
    assert.equal(running.outcomes[0]?.status, 'completed')
    assert.equal(running.upstream.calls.length, 1)
  })

  it('ends streams that go on for longer than the limit, with a typed error', async () => {
    await using running = await startGateway({ config: { server: { shutdown_timeout_ms: 50 } } })
    running.upstream.answer(
      streamed(chatRecords().slice(0, 2), { ending: 'stall' }),
      streamed(responseRecords().slice(0, 5), { ending: 'stall' }),
      { body: [], silent: true },
    )
    const chatReader = readerOf(await running.post('/v1/chat/completions', chat))
    await chatReader.until('Grüße')
    const responsesReader = readerOf(await running.post('/v1/responses', responses))
    await responsesReader.until('Grüße')
    const silent = running.post('/v1/chat/completions', chat)
    await running.upstream.received(3)
    await running.gateway.stop()

    const chatText = await chatReader.rest()
    const error = chunks(chatText).at(-1)?.['error'] as Json
    assert.equal(error['code'], 'shutting_down')
    assert.equal(error['type'], 'server_error')
    assert.ok(!chatText.includes('[DONE]'))
    assert.equal(checkStream(await responsesReader.rest())['status'], 'failed')
    const refused = await silent
    assert.equal(refused.status, 503)
    assert.equal(((await refused.json()) as { error: Json }).error['code'], 'shutting_down')
    assert.deepEqual(
      running.outcomes.map(({ status }) => status),
      ['failed', 'failed', 'failed'],
    )
    for (const call of running.upstream.calls) await call.closed
  })

  it('does not wait for a client that does not read its last words', async () => {
    await using running = await startGateway({ config: { server: { shutdown_timeout_ms: 50 } } })
    const { socket } = await sendRaw(
      running.url,
      rawPost('/v1/chat/completions', { ...chat, model: 'test/long-100000000' }),
      { paused: true },
    )
    await new Promise((resolve) => socket.once('readable', resolve))
    await running.gateway.stop()
    assert.equal(running.outcomes.length, 1)
    socket.destroy()
  })
})

describe('a process', { timeout: 30_000 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    it(`ends at ${signal} once its stream is over`, async (context) => {
      const upstream = await openUpstream()
      context.after(() => upstream.close())
      const config = `[providers.native]\ntype = "openai"\nbase_url = "${upstream.url}/native/v1"\n${withoutDatabase}`
      const { child, url, exit } = await serveProcess(context, `[server]\nallow_anonymous = true\n${config}`)
      const rest = gate()
      const records = chatRecords()
      upstream.answer(streamed([...records.slice(0, 2), rest.wait, ...records.slice(2)]))
      const reader = readerOf(
        await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(chat),
        }),
      )
      await reader.until('Grüße')
      child.kill(signal)
      await refusing(url)
      assert.equal(child.exitCode, null)
      rest.open()
      assert.equal(saidIn(await reader.rest()), text)
      assert.match(reader.text(), /data: \[DONE\]\n\n$/)
      assert.equal(await exit, 0)
    })
})

/** Resolves when nobody listens there any more. */
async function refusing(url: string): Promise<void> {
  for (;;) {
    const answer = await fetch(`${url}/health/live`, { headers: { connection: 'close' } }).catch(() => undefined)
    if (!answer) return
    await answer.arrayBuffer()
  }
}
