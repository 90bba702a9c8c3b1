import { readdirSync, readFileSync } from 'node:fs'
import anthropic from '@hadrian/provider-anthropic'
import openai from '@hadrian/provider-openai'
import testProvider from '@hadrian/provider-test'
import type { GenerateRequest, JsonObject, ServerSentEvent } from '@hadrian/core/provider'
import { providerSuite, transportSuite } from '@hadrian/core/testing'
import type { RecordedAnswer, RequestCase } from '@hadrian/core/testing'
import { dialects } from '../../core/dialects/index.ts'
import { recordsOf } from './anthropic-upstream.ts'

const fixtures = new URL('../fixtures/', import.meta.url)

interface Recording {
  readonly id: string
  readonly request: { readonly path: string }
  readonly response: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body?: JsonObject
    readonly chunks?: readonly JsonObject[]
  }
}

/** The wire dialect of a recorded path. Lists of models are not an answer to a request. */
const wireDialects: Readonly<Record<string, string>> = {
  '/chat/completions': 'chat',
  '/completions': 'completions',
  '/embeddings': 'embeddings',
  '/responses': 'responses',
  '/v1/messages': 'anthropic-messages',
}

function answersOf(vendor: string): RecordedAnswer[] {
  return files(`exchanges/${vendor}/`).flatMap(([, content]): RecordedAnswer[] => {
    const { id, request, response } = content as unknown as Recording
    const dialect = wireDialects[request.path]
    if (dialect === undefined) return []
    const { status, headers, body, chunks } = response
    return [
      {
        name: id,
        dialect,
        status,
        headers,
        ...(body !== undefined && { body }),
        ...(chunks && { records: recordsFrom(dialect, chunks) }),
        ...(body !== undefined && status < 300 && wholeAndStreamed(dialect, body)),
        ...(chunks && dialect === 'responses' && { body: chunks.at(-1)!['response'] }),
      },
    ]
  })
}

/** Frames parsed chunks as the vendor does. */
function recordsFrom(dialect: string, chunks: readonly JsonObject[]): readonly ServerSentEvent[] {
  const records = chunks.map((chunk) => ({
    ...(dialect !== 'chat' && { event: String(chunk['type']) }),
    data: JSON.stringify(chunk),
  }))
  return dialect === 'chat' ? [...records, { data: '[DONE]' }] : records
}

/** A recorded whole answer, as the vendor would have streamed it. */
function wholeAndStreamed(dialect: string, body: JsonObject): Pick<RecordedAnswer, 'records'> {
  if (dialect === 'anthropic-messages') return { records: recordsFrom(dialect, recordsOf(body)) }
  if (dialect === 'chat') return { records: recordsFrom(dialect, chatChunks(body)) }
  return {}
}

function chatChunks({ choices, usage, ...rest }: JsonObject): readonly JsonObject[] {
  const chunk = { ...rest, object: 'chat.completion.chunk' }
  const answered = choices as readonly { readonly message: JsonObject; readonly finish_reason: string }[]
  return [
    ...answered.flatMap(({ message, finish_reason: reason }, index) => {
      const calls = message['tool_calls'] as readonly JsonObject[] | undefined
      const delta = { ...message, ...(calls && { tool_calls: calls.map((call, at) => ({ index: at, ...call })) }) }
      return [
        { ...chunk, choices: [{ index, delta, finish_reason: null }] },
        { ...chunk, choices: [{ index, delta: {}, finish_reason: reason }] },
      ]
    }),
    { ...chunk, choices: [], usage },
  ]
}

/** The corpora of client bodies, read by the kernel's own dialects. */
const clientRequests: readonly RequestCase[] = (['chat', 'responses'] as const).flatMap((dialect) =>
  files(`requests/${dialect}/`).map(([name, body]) => ({
    name: `${dialect} ${name}`,
    request: dialects[dialect].decode(body),
    body,
  })),
)

const canonicalRequests: readonly (RequestCase & { readonly file: string })[] = files('requests/canonical/').map(
  ([file, content]) => {
    const { model, request } = content as unknown as { readonly model: string; readonly request: GenerateRequest }
    return { file, name: `canonical ${file}`, request, model }
  },
)

function files(folder: string): readonly (readonly [name: string, content: JsonObject])[] {
  const directory = new URL(folder, fixtures)
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => [
      name.slice(0, -'.json'.length),
      JSON.parse(readFileSync(new URL(name, directory), 'utf8')) as JsonObject,
    ])
}

providerSuite(openai, {
  options: { api_key: 'sk-secret-of-the-operator' },
  answers: ['openai', 'openrouter', 'ollama'].flatMap(answersOf),
  requests: [...clientRequests, ...canonicalRequests],
})

const goldens = new Map(files('golden/anthropic/'))
providerSuite(anthropic, {
  options: { api_key: 'sk-ant-secret-of-the-operator' },
  answers: answersOf('anthropic'),
  requests: [
    ...clientRequests,
    ...canonicalRequests.map((requestCase) => {
      const { headers, body } = goldens.get(requestCase.file) as { headers: JsonObject; body: unknown }
      return { ...requestCase, golden: { path: '/v1/messages', headers, body } }
    }),
  ],
})

transportSuite(testProvider, { model: 'echo' })
