/** URLs of clients that lead into the operator's network: refused on every endpoint, and nobody is called. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import type { Json } from './scripted-upstream.ts'

let gateway: RunningGateway
let canary: Server
let connections = 0

before(async () => {
  gateway = await startGateway()
  canary = createServer((_request, response) => response.end('secret of the network'))
  canary.on('connection', () => connections++)
  canary.listen(0, '127.0.0.1')
  await once(canary, 'listening')
})
after(async () => {
  canary.close()
  await gateway.close()
})

const hosts = [
  '127.0.0.1',
  'localhost',
  'localhost.',
  '2130706433',
  '0x7f000001',
  '0177.0.0.1',
  '127.1',
  '127.0.0.1.',
  '１２７.0.0.1',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[2002:7f00:1::]',
  '0.0.0.0',
  'user@127.0.0.1',
]

const ofChat = (part: Json): Json => ({ messages: [{ role: 'user', content: [part] }] })
const ofResponses = (part: Json): Json => ({ input: [{ role: 'user', content: [part] }] })

/** Where a body names a URL that the gateway itself fetches, since its upstream takes bytes. */
const bodies: Readonly<Record<string, readonly [path: string, body: (url: string) => Json]>> = {
  'an image of chat': ['/v1/chat/completions', (url) => ofChat({ type: 'image_url', image_url: { url } })],
  'an image of responses': ['/v1/responses', (url) => ofResponses({ type: 'input_image', image_url: url })],
  'a file of chat': [
    '/v1/chat/completions',
    (url) => ofChat({ type: 'file', file: { filename: 'a.pdf', file_data: url } }),
  ],
  'a file of responses': ['/v1/responses', (url) => ofResponses({ type: 'input_file', file_url: url })],
  'an image in the result of a tool': [
    '/v1/responses',
    (url) => ({
      input: [
        { type: 'function_call', call_id: 'c', name: 'find', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c', output: [{ type: 'input_image', image_url: url }] },
      ],
    }),
  ],
}

describe('a URL into the network of the operator', () => {
  for (const [place, [path, body]] of Object.entries(bodies))
    it(`is refused as ${place}, however it is spelled`, async () => {
      const { port } = canary.address() as AddressInfo
      for (const stream of [false, true])
        for (const host of hosts) {
          const url = `http://${host}:${port}/a.png`
          const sent = gateway.upstream.calls.length
          const answer = await gateway.post(path, { model: 'anthropic/claude-sonnet-4-5', stream, ...body(url) })
          const text = await answer.text()
          assert.ok(!text.includes('secret of the network'))
          assert.equal(connections, 0, `${url} was fetched`)
          if (answer.status === 200) {
            // The upstream takes the URL itself, and is the one that fetches it.
            assert.equal(gateway.upstream.calls.length, sent + 1)
            continue
          }
          assert.equal(answer.status, 400, text)
          assert.equal(gateway.upstream.calls.length, sent)
        }
    })
})
