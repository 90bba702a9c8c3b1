import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { it } from 'node:test'
import type { TestContext } from 'node:test'
import OpenAI, { APIError } from 'openai'
import type { StreamEvent } from '../../core/contract/canonical.ts'
import { responses } from '../../core/dialects/responses.ts'
import { contextOf, failure, streamed, whole } from './responses-exchange.ts'

/** An OpenAI client whose server answers everything with this. */
async function clientOf(context: TestContext, type: string, body: string): Promise<OpenAI> {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': type })
    response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  context.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return new OpenAI({ apiKey: 'none', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 })
}

const openai = { format: 'openai-responses-v1', id: 'rs_up' }
const citation = { type: 'url_citation', url: 'https://example.com', title: 'E', start_index: 0, end_index: 2 }
const search = { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search', query: 'q' } }

/** One of everything. */
const events: StreamEvent[] = [
  { type: 'start', model: 'gpt-5' },
  { type: 'reasoning', block: 0, text: 'Let me think', format: 'anthropic-claude-v1' },
  { type: 'reasoning', block: 0, signature: 'sig', format: 'anthropic-claude-v1' },
  { type: 'reasoning', block: 1, summary: 'One', ...openai },
  { type: 'reasoning', block: 2, text: 'raw', ...openai },
  { type: 'reasoning', block: 2, encrypted: 'gAAA', ...openai },
  { type: 'part', part: { type: 'native', dialect: 'responses', value: search } },
  { type: 'text', block: 3, text: 'Hel' },
  { type: 'text', block: 3, text: 'lo' },
  { type: 'part', part: { type: 'native', dialect: 'responses', value: citation } },
  { type: 'text', block: 4, text: 'No.', refusal: true },
  { type: 'tool_call', index: 0, id: 'call_1', name: 'f', arguments: '{"a"' },
  { type: 'tool_call', index: 1, id: 'call_2', name: 'g', arguments: 'l', custom: true },
  { type: 'tool_call', index: 0, arguments: ':1}' },
  { type: 'tool_call', index: 1, arguments: 's' },
  { type: 'part', part: { type: 'media', kind: 'image', mediaType: 'image/png', data: 'AA==' } },
  { type: 'part', part: { type: 'media', kind: 'audio', mediaType: 'audio/wav', data: 'AA==' } },
  { type: 'usage', usage: { inputTokens: 1, outputTokens: 1 } },
  { type: 'finish', reason: 'tool_calls' },
]

const body = { model: 'gpt-5', input: 'Hi', include: ['reasoning.encrypted_content'] }

it('the OpenAI client adds a stream up to the whole answer', async (context) => {
  const client = await clientOf(context, 'text/event-stream', streamed(events, contextOf(body)))
  const final = await client.responses.stream({ model: 'gpt-5', input: 'Hi' }).finalResponse()
  assert.equal(final.output_text, 'Hello')
  assert.equal(final.usage?.total_tokens, 15)
  const answer = whole(events, contextOf(body))
  const plain = JSON.parse(
    JSON.stringify(final.output, (key, value: unknown) => (key.startsWith('parsed') ? undefined : value)),
  )
  assert.deepEqual(plain, answer['output'])
})

it('the OpenAI client reads a whole answer', async (context) => {
  const client = await clientOf(context, 'application/json', JSON.stringify(whole(events, contextOf(body))))
  const response = await client.responses.create({ model: 'gpt-5', input: 'Hi' })
  assert.equal(response.output_text, 'Hello')
  assert.equal(response.status, 'completed')
})

it('the OpenAI client throws where the stream tells of a failure', async (context) => {
  const writer = responses.writer(contextOf())
  const text = writer.push({ type: 'text', text: 'Half' }) + writer.fail(failure)
  const client = await clientOf(context, 'text/event-stream', text)
  const stream = await client.responses.create({ model: 'gpt-5', input: 'Hi', stream: true })
  const types: string[] = []
  await assert.rejects(
    async () => {
      for await (const event of stream) types.push(event.type)
    },
    (error) => error instanceof APIError && error.code === 'provider_error' && error.message.includes('cut'),
  )
  assert.equal(types.at(-1), 'response.output_text.delta')
})
