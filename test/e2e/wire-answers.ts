/** Good answers in the wire formats of upstreams. */

import type { Answer, Json, UpstreamCall } from './scripted-upstream.ts'

/** A call of a tool, in an answer. */
export interface Call {
  readonly id: string
  readonly name: string
  readonly arguments: string
}

/** What an answer says, in any format. */
export interface Said {
  readonly text?: string
  readonly calls?: readonly Call[]
  readonly model?: string
  readonly inputTokens?: number
  readonly outputTokens?: number
}

/** One record of an event stream. */
export function record(value: unknown, event?: string): string {
  const data = typeof value === 'string' ? value : JSON.stringify(value)
  return `${event === undefined ? '' : `event: ${event}\n`}data: ${data}\n\n`
}

/** Pieces of a text, each with its spaces. */
export function words(text: string): string[] {
  return text.match(/\S+\s*|\s+/g) ?? []
}

const spoken = 'Grüße, 世界 🌍!'
const created = 1_766_147_486

function chatUsage({ inputTokens = 7, outputTokens = 5 }: Said): Json {
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens }
}

export function chatBody(said: Said = {}): Json {
  const { text = said.calls ? null : spoken, calls, model = 'gpt-upstream' } = said
  return {
    id: 'chatcmpl-upstream',
    object: 'chat.completion',
    created,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: text,
          refusal: null,
          ...(calls && {
            tool_calls: calls.map((call) => ({ id: call.id, type: 'function', function: nameAndInput(call) })),
          }),
        },
        logprobs: null,
        finish_reason: calls ? 'tool_calls' : 'stop',
      },
    ],
    usage: chatUsage(said),
  }
}

function nameAndInput({ name, arguments: input }: Call): Json {
  return { name, arguments: input }
}

export function chatChunk(delta: Json, more: Json = {}): Json {
  return {
    id: 'chatcmpl-upstream',
    object: 'chat.completion.chunk',
    created,
    model: 'gpt-upstream',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: null, ...more }],
  }
}

/** The records of a chat stream; tool arguments are cut in two. */
export function chatRecords(said: Said = {}): string[] {
  const { text = said.calls ? '' : spoken, calls = [] } = said
  const chunks = [
    chatChunk({ role: 'assistant', content: '' }),
    ...words(text).map((content) => chatChunk({ content })),
    ...calls.flatMap((call, index) => {
      const middle = Math.ceil(call.arguments.length / 2)
      const first = { index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }
      return [
        chatChunk({ tool_calls: [first] }),
        chatChunk({ tool_calls: [{ index, function: { arguments: call.arguments.slice(0, middle) } }] }),
        chatChunk({ tool_calls: [{ index, function: { arguments: call.arguments.slice(middle) } }] }),
      ]
    }),
    chatChunk({}, { finish_reason: said.calls ? 'tool_calls' : 'stop' }),
    { ...chatChunk({}), choices: [], usage: chatUsage(said) },
  ]
  return [...chunks.map((chunk) => record(chunk)), record('[DONE]')]
}

function responseItems(said: Said): Json[] {
  const { text = said.calls ? undefined : spoken, calls = [] } = said
  const content = { type: 'output_text', text, annotations: [], logprobs: [] }
  return [
    ...(text === undefined
      ? []
      : [{ id: 'msg_upstream', type: 'message', role: 'assistant', status: 'completed', content: [content] }]),
    ...calls.map((call, index) => ({
      id: `fc_upstream_${index}`,
      type: 'function_call',
      status: 'completed',
      call_id: call.id,
      ...nameAndInput(call),
    })),
  ]
}

/** A response object with every field of OpenAI's. */
export function responseBody(said: Said = {}, more: Json = {}): Json {
  const { inputTokens = 7, outputTokens = 5 } = said
  return {
    id: 'resp_upstream',
    object: 'response',
    created_at: created,
    completed_at: created + 1,
    status: 'completed',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    max_tool_calls: null,
    model: said.model ?? 'gpt-upstream',
    output: responseItems(said),
    parallel_tool_calls: true,
    previous_response_id: null,
    prompt_cache_key: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: 'default',
    store: false,
    temperature: 1,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    presence_penalty: 0,
    frequency_penalty: 0,
    truncation: 'disabled',
    usage: {
      input_tokens: inputTokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: outputTokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: inputTokens + outputTokens,
    },
    user: null,
    metadata: {},
    ...more,
  }
}

/** The records of a responses stream. */
export function responseRecords(said: Said = {}): string[] {
  const begun = responseBody(
    { ...said, text: '' },
    { status: 'in_progress', output: [], usage: null, completed_at: null },
  )
  const events: Json[] = [
    { type: 'response.created', response: begun },
    { type: 'response.in_progress', response: begun },
    ...responseItems(said).flatMap((item, index) => itemEvents(item, index)),
    { type: 'response.completed', response: responseBody(said) },
  ]
  return events.map((event, index) => record({ ...event, sequence_number: index }, String(event['type'])))
}

function itemEvents(item: Json, index: number): Json[] {
  const place = { item_id: item['id'], output_index: index }
  if (item['type'] === 'function_call') {
    const input = item['arguments'] as string
    const middle = Math.ceil(input.length / 2)
    return [
      {
        type: 'response.output_item.added',
        output_index: index,
        item: { ...item, arguments: '', status: 'in_progress' },
      },
      { type: 'response.function_call_arguments.delta', ...place, delta: input.slice(0, middle) },
      { type: 'response.function_call_arguments.delta', ...place, delta: input.slice(middle) },
      { type: 'response.function_call_arguments.done', ...place, name: item['name'], arguments: input },
      { type: 'response.output_item.done', output_index: index, item },
    ]
  }
  const part = (item['content'] as Json[])[0]!
  const text = part['text'] as string
  const content = { ...place, content_index: 0 }
  return [
    { type: 'response.output_item.added', output_index: index, item: { ...item, content: [], status: 'in_progress' } },
    { type: 'response.content_part.added', ...content, part: { ...part, text: '' } },
    ...words(text).map((delta) => ({ type: 'response.output_text.delta', ...content, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...content, text, logprobs: [] },
    { type: 'response.content_part.done', ...content, part },
    { type: 'response.output_item.done', output_index: index, item },
  ]
}

/** A block of a message of the Messages API. */
function blocks(said: Said): Json[] {
  const { text = said.calls ? undefined : spoken, calls = [] } = said
  return [
    ...(text === undefined ? [] : [{ type: 'text', text }]),
    ...calls.map(({ id, name, arguments: input }) => ({
      type: 'tool_use',
      id,
      name,
      input: JSON.parse(input) as Json,
    })),
  ]
}

export function messageBody(said: Said = {}, content: readonly Json[] = blocks(said)): Json {
  const { inputTokens = 7, outputTokens = 5 } = said
  return {
    id: 'msg_upstream',
    type: 'message',
    role: 'assistant',
    model: said.model ?? 'claude-upstream',
    content,
    stop_reason: content.some(({ type }) => type === 'tool_use') ? 'tool_use' : 'end_turn',
    stop_sequence: null,
    usage: {
      input_tokens: inputTokens,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      output_tokens: outputTokens,
    },
  }
}

/** The records of a stream of the Messages API. */
export function messageRecords(said: Said = {}, content: readonly Json[] = blocks(said)): string[] {
  const { content: _, stop_reason: reason, usage, ...head } = messageBody(said, content)
  const events: Json[] = [
    {
      type: 'message_start',
      message: { ...head, content: [], stop_reason: null, usage: { ...(usage as Json), output_tokens: 1 } },
    },
    ...content.flatMap((block, index) => blockEvents(block, index)),
    { type: 'message_delta', delta: { stop_reason: reason, stop_sequence: null }, usage },
    { type: 'message_stop' },
  ]
  return events.map((event) => record(event, String(event['type'])))
}

function blockEvents(block: Json, index: number): Json[] {
  const start = (empty: Json): Json => ({ type: 'content_block_start', index, content_block: { ...block, ...empty } })
  const delta = (value: Json): Json => ({ type: 'content_block_delta', index, delta: value })
  const stop = { type: 'content_block_stop', index }
  switch (block['type']) {
    case 'text':
      return [
        start({ text: '' }),
        ...words(block['text'] as string).map((text) => delta({ type: 'text_delta', text })),
        stop,
      ]
    case 'thinking':
      return [
        start({ thinking: '', signature: '' }),
        ...words(block['thinking'] as string).map((thinking) => delta({ type: 'thinking_delta', thinking })),
        delta({ type: 'signature_delta', signature: block['signature'] }),
        stop,
      ]
    case 'tool_use': {
      const input = JSON.stringify(block['input'])
      const middle = Math.ceil(input.length / 2)
      return [
        start({ input: {} }),
        delta({ type: 'input_json_delta', partial_json: input.slice(0, middle) }),
        delta({ type: 'input_json_delta', partial_json: input.slice(middle) }),
        stop,
      ]
    }
    default:
      return [start({}), stop]
  }
}

const eventStream = { 'content-type': 'text/event-stream; charset=utf-8' }
const json = { 'content-type': 'application/json' }

/** The answer in the format that the path of the call stands for, streamed if it asks for that. */
export function answerIn(said: Said): (call: UpstreamCall) => Answer {
  return (call) => {
    const stream = call.json['stream'] === true
    const model = { model: String(call.json['model']), ...said }
    const [records, body] = call.path.endsWith('/chat/completions')
      ? [chatRecords, chatBody]
      : call.path.endsWith('/responses')
        ? [responseRecords, responseBody]
        : [messageRecords, messageBody]
    return stream
      ? { headers: eventStream, body: records(model) }
      : { headers: json, body: [JSON.stringify(body(model))] }
  }
}

/** What the upstream answers when it was not told anything else. */
export function defaultAnswer(call: UpstreamCall): Answer {
  const answer = (value: unknown): Answer => ({ headers: json, body: [JSON.stringify(value)] })
  if (call.path.endsWith('/models'))
    return answer({
      object: 'list',
      data: ['gpt-upstream', 'vendor/deep'].map((id) => ({ id, object: 'model', created, owned_by: 'upstream' })),
    })
  if (call.path.endsWith('/embeddings')) return answer(embeddingsBody(call.json))
  if (/[^t]\/completions$/.test(call.path)) return completionsAnswer(call.json)
  return answerIn({})(call)
}

function embeddingsBody({ input, encoding_format: format }: Json): Json {
  const vector = [0.25, -0.5, 1]
  const embedding = format === 'base64' ? Buffer.from(new Float32Array(vector).buffer).toString('base64') : vector
  return {
    object: 'list',
    data: [input].flat().map((_, index) => ({ object: 'embedding', index, embedding })),
    model: 'embed-upstream',
    usage: { prompt_tokens: 4, total_tokens: 4 },
  }
}

function completionsAnswer({ stream }: Json): Answer {
  const chunk = (text: string, reason: string | null): Json => ({
    id: 'cmpl-upstream',
    object: 'text_completion',
    created,
    model: 'gpt-upstream',
    choices: [{ index: 0, text, logprobs: null, finish_reason: reason }],
  })
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  if (stream !== true) return { headers: json, body: [JSON.stringify({ ...chunk(spoken, 'stop'), usage })] }
  const chunks = [
    ...words(spoken).map((text) => chunk(text, null)),
    chunk('', 'stop'),
    { ...chunk('', null), choices: [], usage },
  ]
  return { headers: eventStream, body: [...chunks.map((each) => record(each)), record('[DONE]')] }
}
