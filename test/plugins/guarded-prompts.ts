/** Every place of a request in which a prompt can hide, on every endpoint. */

import type { Json } from '../e2e/scripted-upstream.ts'
import { word } from './guarded-gateway.ts'

/** Where each endpoint is. */
export const paths = {
  chat: '/v1/chat/completions',
  responses: '/v1/responses',
  completions: '/v1/completions',
  embeddings: '/v1/embeddings',
} as const
export type Endpoint = keyof typeof paths

/** What each endpoint can be served by: the client's own bytes, a translation, a transport of its own. */
export const models: Readonly<Record<Endpoint, readonly string[]>> = {
  chat: ['native/m', 'responses-only/m', 'anthropic/claude-sonnet-4-5', 'fake/fake-model'],
  responses: ['native/m', 'chat-only/m', 'anthropic/claude-sonnet-4-5', 'fake/fake-model'],
  completions: ['native/m', 'fake/fake-model'],
  embeddings: ['native/m', 'fake/fake-model'],
}

const secret = `the Falcon flies`
export const hello = { role: 'user', content: 'Hello' }
const parameters = { type: 'object', properties: { a: { type: 'string', description: secret } } }
const properties = { type: 'object', properties: { falcon: { type: 'string' } }, required: ['falcon'] }
const inBase64 = Buffer.from(`Notes: ${secret}.`).toString('base64')

function message(content: unknown, more: Json = {}): Json {
  return { messages: [{ role: 'user', content, ...more }] }
}

function calls(call: Json): Json {
  const all = { id: 'call_1', type: 'function', function: { name: 'find', arguments: '{}', ...call } }
  return {
    messages: [
      hello,
      { role: 'assistant', content: null, tool_calls: [all] },
      { role: 'tool', tool_call_id: 'call_1', content: 'ok' },
    ],
    tools: [{ type: 'function', function: { name: 'find', parameters: { type: 'object', properties: {} } } }],
  }
}

function chatTool(tool: Json): Json {
  return { messages: [hello], tools: [{ type: 'function', function: { name: 'find', ...tool } }] }
}

function schema(format: Json): Json {
  return {
    messages: [hello],
    response_format: { type: 'json_schema', json_schema: { name: 'a', schema: parameters, ...format } },
  }
}

function items(...more: Json[]): Json {
  return { input: [{ role: 'user', content: 'Hello' }, ...more] }
}

function responsesTool(tool: Json): Json {
  return { input: 'Hello', tools: [{ type: 'function', name: 'find', parameters: { type: 'object' }, ...tool }] }
}

const call = { type: 'function_call', call_id: 'c', name: 'find', arguments: '{}' }
const output = { type: 'function_call_output', call_id: 'c', output: 'ok' }

/** By endpoint and place. */
export const prompts: Readonly<Record<Endpoint, Readonly<Record<string, Json>>>> = {
  chat: {
    'a system message': { messages: [{ role: 'system', content: secret }, hello] },
    'a developer message': { messages: [{ role: 'developer', content: secret }, hello] },
    'the last message': message(secret),
    'a part of a message': message([{ type: 'text', text: secret }]),
    'an earlier message': { messages: [{ role: 'user', content: secret }, { role: 'assistant', content: 'Hi' }, hello] },
    'an earlier answer': { messages: [hello, { role: 'assistant', content: secret }, hello] },
    'an earlier refusal': { messages: [hello, { role: 'assistant', content: null, refusal: secret }, hello] },
    'earlier thinking': { messages: [hello, { role: 'assistant', content: 'Hi', reasoning: secret }, hello] },
    'arguments of a tool call': calls({ arguments: JSON.stringify({ a: secret }) }),
    'escaped arguments of a tool call': calls({ arguments: String.raw`{"a":"the \u0066alcon"}` }),
    'the name of a tool call': calls({ name: word }),
    'the result of a tool': {
      ...calls({}),
      messages: [...(calls({})['messages'] as Json[]).slice(0, 2), { role: 'tool', tool_call_id: 'call_1', content: secret }],
    },
    'the name of a participant': message('Hello', { name: word }),
    'the name of a tool': chatTool({ name: word, parameters: { type: 'object' } }),
    'the description of a tool': chatTool({ description: secret, parameters: { type: 'object' } }),
    'the parameters of a tool': chatTool({ parameters }),
    'the name of a parameter': chatTool({ parameters: properties }),
    'a value of a parameter': chatTool({ parameters: { type: 'object', properties: { a: { enum: [word] } } } }),
    'a tool of the old kind': { messages: [hello], functions: [{ name: 'find', description: secret, parameters }] },
    'the wanted form of the answer': schema({}),
    'a name in the wanted form': schema({ schema: properties }),
    'the description of the wanted form': schema({ schema: { type: 'object' }, description: secret }),
    'the name of a file': message([{ type: 'file', file: { filename: 'falcon', file_data: 'data:text/plain;base64,SGVsbG8=' } }]),
    'a file of text': message([{ type: 'file', file: { filename: 'a.txt', file_data: `data:text/plain;base64,${inBase64}` } }]),
    'a file of text without its type': message([{ type: 'file', file: { filename: 'a.txt', file_data: inBase64 } }]),
    'a part of another kind': message([{ type: 'document', source: { type: 'text', data: secret } }, { type: 'text', text: 'Hi' }]),
    'a field of a message': message('Hello', { note: secret }),
    'a field of the request': { messages: [hello], prediction: { type: 'content', content: secret } },
    'a field nobody knows': { messages: [hello], instructions: [secret] },
  },
  responses: {
    instructions: { instructions: secret, input: 'Hello' },
    'the input': { input: secret },
    'a system message': items({ role: 'system', content: secret }),
    'a developer message': items({ role: 'developer', content: [{ type: 'input_text', text: secret }] }),
    'an earlier message': { input: [{ role: 'user', content: secret }, hello] },
    'an earlier answer': items({ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: secret }] }),
    'earlier thinking': items({ type: 'reasoning', summary: [{ type: 'summary_text', text: secret }] }, hello),
    'arguments of a tool call': items({ ...call, arguments: JSON.stringify({ a: secret }) }, output),
    'the name of a tool call': items({ ...call, name: word }, output),
    'the result of a tool': items(call, { ...output, output: secret }),
    'parts of the result of a tool': items(call, { ...output, output: [{ type: 'input_text', text: secret }] }),
    'an item of a hosted tool': items({ type: 'web_search_call', id: 'ws', status: 'completed', action: { type: 'search', query: secret } }),
    'the description of a tool': responsesTool({ description: secret }),
    'the name of a tool': responsesTool({ name: word }),
    'the parameters of a tool': responsesTool({ parameters }),
    'the name of a parameter': responsesTool({ parameters: properties }),
    'a tool of free text': { input: 'Hello', tools: [{ type: 'custom', name: 'find', description: secret }] },
    'input of a tool of free text': items({ type: 'custom_tool_call', call_id: 'c', name: 'find', input: String.raw`C:\falcon` }, { type: 'custom_tool_call_output', call_id: 'c', output: 'ok' }),
    'the wanted form of the answer': { input: 'Hello', text: { format: { type: 'json_schema', name: 'a', schema: parameters } } },
    'a file of text': items({ role: 'user', content: [{ type: 'input_file', filename: 'a.txt', file_data: `data:text/plain;base64,${inBase64}` }] }),
    'a part of another kind': items({ role: 'user', content: [{ type: 'input_future', what: { text: secret } }] }),
    'a field nobody knows': { input: 'Hello', hint: { deep: [secret] } },
  },
  completions: {
    'the prompt': { prompt: secret },
    'one of several prompts': { prompt: ['Hello', secret] },
    'the suffix': { prompt: 'Hello', suffix: secret },
    'a field nobody knows': { prompt: 'Hello', guided_choice: [secret] },
  },
  embeddings: {
    'the input': { input: secret },
    'one of several inputs': { input: ['Hello', secret] },
    'a field nobody knows': { input: 'Hello', instruction: secret },
  },
} // prettier-ignore
