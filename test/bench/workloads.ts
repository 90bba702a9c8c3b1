/** What is sent and what comes back. The mock upstream recognises a workload by the model it names. */

/** A kind of call: `body` is what the client sends, with the model name as the candidate knows it. */
export interface Workload {
  readonly path: string
  body(modelPrefix: string): string
}

/** A word of the length that English has on average. */
const filler = 'bench '

function textOf(bytes: number): string {
  return filler.repeat(Math.ceil(bytes / filler.length)).slice(0, bytes)
}

function chat(model: string, messages: readonly unknown[], more: object = {}): Workload {
  return {
    path: '/v1/chat/completions',
    body: (modelPrefix) => JSON.stringify({ model: modelPrefix + model, messages, max_tokens: 4096, ...more }),
  }
}

/** About 1 KB each way. */
export const small = chat('whole-1024', [
  { role: 'system', content: textOf(300) },
  { role: 'user', content: textOf(600) },
])

/** 20 messages of about 8 KB together; the answer has 16 KB. */
export const large = chat(
  'whole-16384',
  Array.from({ length: 20 }, (_, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content: textOf(370) })),
)

/** An image of 1 MB in base64; the answer has 1 KB. */
export const image = chat('whole-1024', [
  {
    role: 'user',
    content: [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${'iVBORw0K'.repeat(131_072)}` } },
    ],
  },
])

/** A stream of so many chunks, one each interval; interval 0 sends them back to back. */
export function streamed(intervalMs: number, chunks: number): Workload {
  return chat(`stream-${intervalMs}-${chunks}`, [{ role: 'user', content: textOf(600) }], {
    stream: true,
    stream_options: { include_usage: true },
  })
}

/** The same as the Messages API is asked for it, for a proxy that does not translate. */
export function messagesStream(intervalMs: number, chunks: number): Workload {
  return {
    path: '/v1/messages',
    body: () =>
      JSON.stringify({
        model: `stream-${intervalMs}-${chunks}`,
        max_tokens: 4096,
        stream: true,
        messages: [{ role: 'user', content: textOf(600) }],
      }),
  }
}

/** What the upstream is to do, read from the beginning of a request body. */
export type Behaviour =
  | { readonly kind: 'whole'; readonly bytes: number }
  | { readonly kind: 'stream'; readonly intervalMs: number; readonly chunks: number }

/** @throws Error for a model that is no workload */
export function behaviourOf(body: Buffer): Behaviour {
  const match = /"model":"(whole|stream)-(\d+)(?:-(\d+))?"/.exec(body.toString('latin1', 0, 400))
  if (!match) throw new Error(`no workload: ${body.toString('latin1', 0, 200)}`)
  return match[1] === 'whole'
    ? { kind: 'whole', bytes: Number(match[2]) }
    : { kind: 'stream', intervalMs: Number(match[2]), chunks: Number(match[3]) }
}

/** A chat completion whose JSON has about this size. */
export function completion(bytes: number): string {
  return JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'bench',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: textOf(Math.max(1, bytes - 330)), refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: { prompt_tokens: 240, completion_tokens: Math.ceil(bytes / 5), total_tokens: 240 + Math.ceil(bytes / 5) },
  })
}
