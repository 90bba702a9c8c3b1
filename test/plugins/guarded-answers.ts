/** Every place of an answer in which a model can say something, by the wire format of the upstream. */

import type { Json } from '../e2e/scripted-upstream.ts'
import { chatBody, chatChunk, messageBody, messageRecords, record, responseBody } from '../e2e/wire-answers.ts'

export const secret = 'Well, the Falcon flies.'
export const said = String.raw`{"a":"the \u0046alcon"}`

/** What an upstream says: in one body, and in the records of a stream. */
export interface Spoken {
  readonly body: Json
  readonly records: readonly string[]
}

const messages = { messages: [{ role: 'user', content: 'Hello' }] }
export const requests = {
  chat: { path: '/v1/chat/completions', body: messages },
  responses: { path: '/v1/responses', body: { input: 'Hello' } },
  completions: { path: '/v1/completions', body: { prompt: 'Hello' } },
  embeddings: { path: '/v1/embeddings', body: { input: 'Hello' } },
} as const
export type Endpoint = keyof typeof requests

export function chat(message: Json, delta: Json = message, more: Json = {}): Spoken {
  const body = chatBody()
  const [choice] = body['choices'] as [Json]
  return {
    body: { ...body, choices: [{ ...choice, message: { role: 'assistant', content: null, ...message }, ...more }] },
    records: [
      record(chatChunk({ role: 'assistant', content: '' })),
      record(chatChunk(delta, more)),
      record(chatChunk({}, { finish_reason: 'stop' })),
      record('[DONE]'),
    ],
  }
}

function tool(call: Json): Spoken {
  const all = { id: 'call_1', type: 'function', function: { name: 'find', arguments: '{}', ...call } }
  return chat({ tool_calls: [all] }, { tool_calls: [{ index: 0, ...all }] })
}

function choice(): Spoken {
  const { body, records } = chat({ content: 'Hello' })
  const second = { index: 1, message: { role: 'assistant', content: secret }, finish_reason: 'stop' }
  const late = {
    ...chatChunk({}),
    choices: [{ index: 1, delta: { role: 'assistant', content: secret }, finish_reason: null }],
  }
  const finish = { ...chatChunk({}), choices: [{ index: 1, delta: {}, finish_reason: 'stop' }] }
  return {
    body: { ...body, choices: [...(body['choices'] as Json[]), second] },
    records: [records[0]!, record(late), ...records.slice(1, 3), record(finish), record('[DONE]')],
  }
}

function response(...output: Json[]): Spoken {
  const events: Json[] = [
    { type: 'response.created', response: responseBody({}, { status: 'in_progress', output: [], usage: null }) },
    ...output.flatMap((item, index) => [
      {
        type: 'response.output_item.added',
        output_index: index,
        item: { ...item, content: [], status: 'in_progress' },
      },
      { type: 'response.output_item.done', output_index: index, item },
    ]),
    { type: 'response.completed', response: responseBody({}, { output }) },
  ]
  return {
    body: responseBody({}, { output }),
    records: events.map((event, index) => record({ ...event, sequence_number: index }, String(event['type']))),
  }
}

function part(content: Json): Spoken {
  return response({ id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [content] })
}

function claude(...content: Json[]): Spoken {
  return { body: messageBody({}, content), records: messageRecords({}, content) }
}

export function completion(choice: Json): Spoken {
  const body = { id: 'cmpl', object: 'text_completion', created: 1, model: 'm' }
  return {
    body: { ...body, choices: [{ index: 0, finish_reason: 'stop', ...choice }] },
    records: [record({ ...body, choices: [{ index: 0, finish_reason: 'stop', ...choice }] }), record('[DONE]')],
  }
}

const detail = { format: 'unknown', index: 0 }
const citation = { type: 'url_citation', url: 'https://birds.example/', title: secret, start_index: 0, end_index: 2 }

/** By wire format: the places, and who speaks it to whom. */
export const wires: readonly {
  readonly wire: string
  readonly routes: readonly (readonly [Endpoint, model: string])[]
  readonly answers: Readonly<Record<string, Spoken>>
}[] = [
  {
    wire: 'chat',
    routes: [['chat', 'native/m'], ['responses', 'chat-only/m']],
    answers: {
      text: chat({ content: secret }),
      'parts of text': chat({ content: [{ type: 'text', text: secret }] }),
      'a refusal': chat({ refusal: secret }),
      thinking: chat({ reasoning: secret, content: 'Hi' }),
      'thinking by its other name': chat({ reasoning_content: secret, content: 'Hi' }),
      'details of thinking': chat({ reasoning_details: [{ type: 'reasoning.text', text: secret, ...detail }] }),
      'a summary of thinking': chat({ reasoning_details: [{ type: 'reasoning.summary', summary: secret, ...detail }] }),
      'arguments of a tool call': tool({ arguments: said }),
      'the name of a tool call': tool({ name: 'falcon' }),
      'an annotation': chat({ content: 'Hi', annotations: [{ type: 'url_citation', url_citation: { ...citation, type: undefined } }] }),
      'words of a spoken answer': chat({ audio: { id: 'audio_1', data: 'AAAA', transcript: secret, expires_at: 1 } }),
      'the second choice': choice(),
    },
  },
  {
    wire: 'responses',
    routes: [['responses', 'native/m'], ['chat', 'responses-only/m']],
    answers: {
      text: part({ type: 'output_text', text: secret, annotations: [], logprobs: [] }),
      'a refusal': part({ type: 'refusal', refusal: secret }),
      thinking: response({ id: 'rs_1', type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: secret }] }),
      'a summary of thinking': response({ id: 'rs_1', type: 'reasoning', summary: [{ type: 'summary_text', text: secret }] }),
      'arguments of a tool call': response({ id: 'fc_1', type: 'function_call', status: 'completed', call_id: 'c', name: 'find', arguments: said }),
      'input of a tool of free text': response({ id: 'ct_1', type: 'custom_tool_call', status: 'completed', call_id: 'c', name: 'find', input: String.raw`C:\falcon` }),
      'an annotation': part({ type: 'output_text', text: 'Hi', annotations: [citation], logprobs: [] }),
      'an item of a hosted tool': response({ id: 'ci_1', type: 'code_interpreter_call', status: 'completed', container_id: 'x', code: 'print(1)', outputs: [{ type: 'logs', logs: secret }] }),
      'arguments of a hosted tool': response({ id: 'mcp_1', type: 'mcp_call', status: 'completed', server_label: 'x', name: 'find', arguments: said, output: 'ok' }),
      'an item nobody knows': response({ id: 'x_1', type: 'future_item', status: 'completed', data: secret }),
    },
  },
  {
    wire: 'messages',
    routes: [['chat', 'anthropic/claude-sonnet-4-5'], ['responses', 'anthropic/claude-sonnet-4-5']],
    answers: {
      text: claude({ type: 'text', text: secret }),
      thinking: claude({ type: 'thinking', thinking: secret, signature: 'c2ln' }, { type: 'text', text: 'Hi' }),
      'arguments of a tool call': claude({ type: 'tool_use', id: 'toolu_1', name: 'find', input: { a: secret } }),
      'the second block of text': claude({ type: 'text', text: 'Hi. ' }, { type: 'text', text: secret }),
      'a block nobody knows': claude({ type: 'text', text: 'Hi' }, { type: 'future_block', id: 'x', content: secret }),
    },
  },
  {
    wire: 'completions',
    routes: [['completions', 'native/m']],
    answers: { text: completion({ text: secret }) },
  },
] // prettier-ignore

/** What a client of the endpoint does not get at all, so that no trace of it is there. */
export const unshown: Readonly<Partial<Record<Endpoint, readonly string[]>>> = {
  chat: ['a block nobody knows', 'an item of a hosted tool', 'arguments of a hosted tool', 'an item nobody knows'],
  responses: ['a block nobody knows', 'words of a spoken answer', 'the second choice'],
}
