import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import type { GenerateRequest, Part } from '../../core/contract/provider.ts'
import { systemClock } from '../../core/services/clock.ts'
import { createSafeFetch } from '../../core/services/fetch.ts'
import { withRemoteMedia } from '../../providers/anthropic/remote-media.ts'

const png = Buffer.from('iVBORw0KGgo=', 'base64')

/** A request with these parts: in a user message, and in the result of a tool. */
function requestWith(...content: readonly Part[]): GenerateRequest {
  return {
    operation: 'generate',
    dialect: 'chat',
    stream: false,
    extra: {},
    messages: [
      { role: 'user', content },
      { role: 'tool', content: [{ type: 'tool_result', toolCallId: 'call_1', content }] },
    ],
  }
}

async function withServer(work: (origin: string) => Promise<void>): Promise<void> {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/image.png' ? 200 : 404, { 'content-type': 'image/png' })
    response.end(png)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.close()
  }
}

describe('images under plain http', () => {
  const signal = new AbortController().signal
  const allowing = createSafeFetch({ allow: ['127.0.0.1'], clock: systemClock })

  it('are fetched and sent inline, in messages and in tool results', () =>
    withServer(async (origin) => {
      const request = requestWith({ type: 'media', kind: 'image', url: `${origin}/image.png`, detail: 'low' })
      const { messages } = await withRemoteMedia(request, allowing, signal)
      const expected = {
        type: 'media',
        kind: 'image',
        detail: 'low',
        mediaType: 'image/png',
        data: png.toString('base64'),
      }
      assert.deepEqual(messages[0]!.content, [expected])
      assert.deepEqual(messages[1]!.content, [{ type: 'tool_result', toolCallId: 'call_1', content: [expected] }])
    }))

  it('fail the request when they cannot be fetched', () =>
    withServer(async (origin) => {
      const request = requestWith({ type: 'media', kind: 'image', url: `${origin}/missing.png` })
      await assert.rejects(withRemoteMedia(request, allowing, signal), { code: 'invalid_request_error', status: 400 })
    }))

  it('are never fetched from inside the operator’s network', () =>
    withServer(async (origin) => {
      const request = requestWith({ type: 'media', kind: 'image', url: `${origin}/image.png` })
      const refusing = createSafeFetch({ clock: systemClock })
      await assert.rejects(withRemoteMedia(request, refusing, signal), { code: 'invalid_request_error', status: 400 })
    }))
})

it('https URLs, files by id and data are left to the upstream', async () => {
  const unused = (): never => assert.fail('nothing to fetch')
  const request = requestWith(
    { type: 'media', kind: 'image', url: 'https://example.com/image.png' },
    { type: 'media', kind: 'file', fileId: 'file_1' },
    { type: 'media', kind: 'audio', url: 'http://example.com/sound.mp3' },
  )
  assert.equal(await withRemoteMedia(request, unused, new AbortController().signal), request)
})
