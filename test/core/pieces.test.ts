import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import type { PluginDefinition, Reply } from '../../core/contract/plugin.ts'
import { definePlugin } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import { fakeProvider } from '../../core/testing/index.ts'
import { recordingLogger, withoutDefaults } from './boot-fixtures.ts'

const megabyte = 'x'.repeat(1024 * 1024)

/** A plugin that answers `GET /pieces` with what `pieces` yields. */
function withPieces(pieces: () => AsyncIterable<string>): PluginDefinition {
  const handle = (): Reply => ({ status: 200, headers: { 'Content-Type': 'text/csv' }, body: pieces() })
  return definePlugin({
    name: 'pieces',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    setup: () => ({ routes: [{ method: 'GET', path: '/pieces', scope: null, handle }] }),
  })
}

async function listen(
  pieces: () => AsyncIterable<string>,
): Promise<AsyncDisposable & { readonly url: URL; readonly log: readonly { message: string }[] }> {
  const logger = recordingLogger()
  const gateway = await createGateway({
    environment: {},
    config: {
      server: { host: '127.0.0.1', port: 0, shutdown_timeout_ms: 100 },
      plugins: { ...withoutDefaults, 'response-healing': { enabled: false } },
    },
    overrides: { logger, plugins: [[withPieces(pieces)]], providers: [[fakeProvider().definition]] },
  })
  const { url } = await gateway.start()
  return {
    url: new URL('/pieces', url),
    log: logger.entries as unknown as { message: string }[],
    [Symbol.asyncDispose]: () => gateway.stop(),
  }
}

describe('an answer in pieces', () => {
  it('comes whole, with its content type', async () => {
    await using server = await listen(async function* () {
      yield 'a,b\r\n'
      yield 'ä,"ö"\r\n'
    })
    const response = await fetch(server.url)
    assert.equal(response.headers.get('content-type'), 'text/csv')
    assert.equal(await response.text(), 'a,b\r\nä,"ö"\r\n')
    const head = await fetch(server.url, { method: 'HEAD' })
    assert.deepEqual([head.status, await head.text()], [200, ''])
  })

  it('is made only as fast as it is read, and left when the client goes', async () => {
    let made = 0
    const left = Promise.withResolvers<void>()
    await using server = await listen(async function* () {
      try {
        for (; made < 1000; made++) yield megabyte
      } finally {
        left.resolve()
      }
    })
    const socket = connect(Number(server.url.port), '127.0.0.1')
    socket.write('GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'readable')
    // Nothing more is read: what is made from now on would pile up in memory.
    for (let before = -1; before !== made;) {
      before = made
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    assert.ok(made < 50, `${made} MB were made for a client that reads nothing`)
    socket.destroy()
    await left.promise
    assert.ok(made < 50)
  })

  it('that fails is broken off, so that nobody takes it for the whole', async () => {
    await using server = await listen(async function* () {
      yield megabyte
      throw new Error('the disk is gone')
    })
    await assert.rejects(async () => (await fetch(server.url)).text())
    assert.ok(server.log.some(({ message }) => message === 'request failed'))
    assert.equal((await fetch(new URL('/health/live', server.url))).status, 200)
  })
})
