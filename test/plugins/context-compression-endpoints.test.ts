/** What upstreams get of a compressed conversation, on every endpoint and wire. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startGateway } from '../e2e/gateway.ts'
import type { RunningGateway } from '../e2e/gateway.ts'
import { streamed, whole } from '../e2e/scripted-upstream.ts'
import type { Json } from '../e2e/scripted-upstream.ts'
import {
  chatBody,
  chatRecords,
  messageBody,
  messageRecords,
  responseBody,
  responseRecords,
} from '../e2e/wire-answers.ts'

const context = { context_length: 1_000, max_output_tokens: 100 }
let running: RunningGateway
before(async () => {
  running = await startGateway({
    config: {
      plugins: { 'context-compression': {} },
      models: {
        native: { targets: ['native/m'], ...context },
        'chat-only': { targets: ['chat-only/m'], ...context },
        'responses-only': { targets: ['responses-only/m'], ...context },
        claude: { targets: ['anthropic/claude-3-opus'], ...context },
      },
    },
  })
})
after(() => running.close())

const paths = { chat: '/v1/chat/completions', responses: '/v1/responses' } as const
const wires = {
  native: { chat: 'chat', responses: 'responses' },
  'chat-only': { chat: 'chat', responses: 'chat' },
  'responses-only': { chat: 'responses', responses: 'responses' },
  claude: { chat: 'messages', responses: 'messages' },
} as const
const wholes = { chat: chatBody, responses: responseBody, messages: messageBody }
const records = { chat: chatRecords, responses: responseRecords, messages: messageRecords }

const steps = Array.from({ length: 30 }, (_, index) => ({
  id: `call_${index}`,
  said: `Step ${index}. ${'word '.repeat(20)}`,
}))
const bodies = {
  chat: {
    messages: [
      { role: 'system', content: 'Be good.' },
      { role: 'user', content: 'Find it.', own: 1 },
      ...steps.flatMap(({ id, said }) => [
        {
          role: 'assistant',
          content: said,
          tool_calls: [{ id, type: 'function', function: { name: 'find', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: id, content: 'nothing' },
      ]),
    ],
  },
  responses: {
    instructions: 'Be good.',
    input: [
      { role: 'user', content: 'Find it.', own: 1 },
      ...steps.flatMap(({ id, said }) => [
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: said, annotations: [] }] },
        { type: 'function_call', call_id: id, name: 'find', arguments: '{}' },
        { type: 'function_call_output', call_id: id, output: 'nothing' },
      ]),
    ],
  },
} as const

/** Every value of these keys in a body, in order. */
function valuesOf(body: unknown, keys: readonly string[]): unknown[] {
  if (typeof body !== 'object' || body === null) return []
  return Object.entries(body).flatMap(([key, value]) => (keys.includes(key) ? [value] : valuesOf(value, keys)))
}

for (const endpoint of ['chat', 'responses'] as const)
  for (const [model, wire] of Object.entries(wires))
    for (const stream of [false, true])
      describe(`a conversation on ${endpoint} for ${model}${stream ? ', streamed' : ''}`, () => {
        const send = async (body: Json): Promise<Json> => {
          const said = { text: 'Found.' }
          const kind = wire[endpoint]
          running.upstream.answer(stream ? streamed(records[kind](said)) : whole(wholes[kind](said)))
          const answer = await running.post(paths[endpoint], { model, stream, ...body })
          const text = await answer.text()
          assert.equal(answer.status, 200, text)
          assert.match(text, /Found\./)
          return running.upstream.last().json
        }

        it('loses its middle, and no half of a tool call', async () => {
          const sent = await send(bodies[endpoint])
          const text = JSON.stringify(sent)
          assert.ok(text.includes('Be good.') && text.includes('Find it.'))
          const kept = steps.filter(({ said }) => text.includes(said.trim()))
          assert.ok(kept.length > 3 && kept.length < steps.length, `${kept.length} of ${steps.length}`)
          assert.ok(kept.includes(steps[0]!) && kept.includes(steps.at(-1)!))
          for (const { id } of steps) {
            const count = valuesOf(sent, ['id', 'call_id', 'tool_call_id', 'tool_use_id']).filter((each) => each === id)
            assert.equal(count.length, kept.some((step) => step.id === id) ? 2 : 0, id)
          }
          if (wire[endpoint] === endpoint) assert.deepEqual(valuesOf(sent, ['own']), [1])
        })

        it('is left alone if it fits', async () => {
          const list = endpoint === 'chat' ? 'messages' : 'input'
          const items = [...((bodies[endpoint] as Json)[list] as Json[])].slice(0, 4)
          const sent = await send({ ...bodies[endpoint], [list]: items })
          if (model === 'native') assert.deepEqual(sent[list], items)
        })
      })
