/** Clients that leave or do not read: the upstream is cancelled or slowed down, and what was sent is charged. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { bodies, firstRecords, pairs, paths, wires } from './dialect-pairs.ts'
import { instances, startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { streamed } from './scripted-upstream.ts'
import type { Answer, Piece } from './scripted-upstream.ts'
import { leavingPost, rawPost, readerOf, sendRaw } from './stream-client.ts'
import { chatChunk, chatRecords, record } from './wire-answers.ts'

let running: RunningGateway

before(async () => {
  running = await startGateway()
})
after(() => running.close())

describe('a client that leaves', { timeout: 20_000 }, () => {
  /** Machines are busy at times: the best of three shows what the gateway can do. */
  async function quickest(leave: () => Promise<number>): Promise<number> {
    const times = [await leave(), await leave(), await leave()]
    return Math.min(...times)
  }

  const situations: Readonly<
    Record<string, (wire: keyof typeof wires) => { answer: Answer; stream: boolean; begun: boolean }>
  > = {
    'before the head of a stream': () => ({ answer: { body: [], silent: true }, stream: true, begun: false }),
    'before the head of an answer': () => ({ answer: { body: [], silent: true }, stream: false, begun: false }),
    'inside a stream': (wire) => ({
      answer: streamed(firstRecords(wires[wire]()), { ending: 'stall' }),
      stream: true,
      begun: true,
    }),
    'inside an answer': () => ({
      answer: { headers: { 'content-type': 'application/json' }, body: ['{'], ending: 'stall' },
      stream: false,
      begun: false,
    }),
  }
  for (const [situation, make] of Object.entries(situations))
    for (const { dialect, model, wire, name } of pairs)
      it(`${situation} takes its upstream call with it: ${name}`, async () => {
        const elapsedMs = await quickest(async () => {
          const { answer, stream, begun } = make(wire)
          const count = running.upstream.calls.length
          const settled = running.outcomes.length
          running.upstream.answer(answer)
          const client = leavingPost(running.url + paths[dialect], { model, stream, ...bodies[dialect] })
          const call = await running.upstream.received(count + 1)
          if (begun) assert.equal(await client.head, 200)
          const leftMs = client.leave()
          const closedMs = await call.closed
          assert.equal((await running.ended(settled + 1)).at(-1)?.status, 'aborted')
          return closedMs - leftMs
        })
        assert.ok(elapsedMs < 50, `the upstream was closed after ${elapsedMs} ms`)
      })

  it('is charged for what was sent', async () => {
    const settled = running.outcomes.length
    running.upstream.answer(streamed(firstRecords(chatRecords()), { ending: 'stall' }))
    const reader = readerOf(await running.post(paths.chat, { model: 'native/m', stream: true, ...bodies.chat }))
    await reader.until('Grüße')
    reader.leave()
    const { usage } = (await running.ended(settled + 1)).at(-1)!
    assert.equal(usage?.estimated, true)
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0)
  })
})

describe('a client that does not read', { timeout: 30_000 }, () => {
  /** Far more than all socket buffers on the way. */
  const totalBytes = 256 * 1024 * 1024
  const mostBytes = 64 * 1024 * 1024

  for (const instance of Object.keys(instances).filter((name) => name !== 'responses-only'))
    it(`slows the upstream down, and memory does not grow: ${instance}`, async () => {
      const piece = record(chatChunk({ content: 'x'.repeat(64 * 1024) }))
      running.upstream.answer(streamed(endless(piece, totalBytes)))
      const count = running.upstream.calls.length
      globalThis.gc?.()
      const beforeBytes = process.memoryUsage().rss
      const body = { model: `${instance}/m`, stream: true, ...bodies.chat }
      const { socket } = await sendRaw(running.url, rawPost(paths.chat, body), { paused: true })
      const call = await running.upstream.received(count + 1)
      const writtenBytes = await standstill(call.writtenBytes)
      assert.ok(writtenBytes < mostBytes, `${writtenBytes} bytes were read from the upstream`)
      const grownBytes = process.memoryUsage().rss - beforeBytes
      assert.ok(grownBytes < mostBytes, `memory grew by ${grownBytes} bytes`)
      socket.destroy()
      await call.closed
    })

  function* endless(piece: string, bytes: number): Generator<Piece> {
    for (let sent = 0; sent < bytes; sent += piece.length) yield piece
  }

  /** The count, once it has not changed for a while. */
  async function standstill(count: () => number): Promise<number> {
    let last = -1
    for (let still = 0; still < 8;) {
      await new Promise((resolve) => setTimeout(resolve, 25))
      const now = count()
      still = now === last && now > 0 ? still + 1 : 0
      last = now
    }
    return last
  }
})
