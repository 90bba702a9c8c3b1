import { readdirSync, readFileSync } from 'node:fs'

import anthropic from '@hadrian/provider-anthropic'

import type {
  GenerateRequest,
  JsonObject,
  ModelInfo,
  HttpProvider,
  ServerSentEvent,
  StreamEvent,
  Target,
  WireRequest,
} from '@hadrian/core/provider'

type Options = Parameters<typeof anthropic.setup>[0]['options']

const silent = () => undefined

/** The provider as the kernel sets it up, with the defaults its schema gives. */
export async function anthropicProvider(options: Partial<Options> = {}): Promise<HttpProvider> {
  return await anthropic.setup({
    instance: 'anthropic',
    options: {
      base_url: 'https://api.anthropic.com',
      version: '2023-06-01',
      beta: [],
      default_max_tokens: 8192,
      ...options,
    },
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    clock: { now: () => 0, monotonicMs: () => 0, after: () => silent },
    fetch: () => Promise.reject(new Error('no network')),
  })
}

export function targetOf(model: string, info?: Omit<ModelInfo, 'id'>): Target {
  return {
    provider: 'anthropic',
    model,
    name: `anthropic/${model}`,
    requested: model,
    ...(info && { info: { id: model, ...info } }),
  }
}

export function requestOf(fields: Partial<GenerateRequest>): GenerateRequest {
  return {
    operation: 'generate',
    dialect: 'chat',
    stream: false,
    extra: {},
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
    ...fields,
  }
}

export const wire: WireRequest = {
  method: 'POST',
  path: '/v1/messages',
  headers: {},
  body: {},
  dialect: 'anthropic-messages',
}

/** A recorded answer. */
export interface Recording {
  readonly id: string
  readonly response: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body?: JsonObject
    readonly chunks?: readonly JsonObject[]
  }
}

const recordings = new URL('../fixtures/exchanges/anthropic/', import.meta.url)

export function recording(name: string): Recording {
  return JSON.parse(readFileSync(new URL(`${name}.json`, recordings), 'utf8')) as Recording
}

export function recordingNames(): readonly string[] {
  return readdirSync(recordings).map((file) => file.replace('.json', ''))
}

export function record(value: JsonObject): ServerSentEvent {
  return { event: String(value['type']), data: JSON.stringify(value) }
}

/** The events of a stream of these records. */
export function stream(provider: HttpProvider, records: readonly JsonObject[], request = wire): readonly StreamEvent[] {
  const decoder = provider.decoder(request)
  return [...records.flatMap((value) => decoder.push(record(value))), ...decoder.end()]
}

/** The records in which the API would stream this whole body, texts cut in two. */
export function recordsOf(body: JsonObject): readonly JsonObject[] {
  const { content, stop_reason: stopReason, usage, ...rest } = body
  const blocks = (content as JsonObject[]).flatMap((block, index) => blockRecords(block, index))
  return [
    {
      type: 'message_start',
      message: { ...rest, content: [], stop_reason: null, usage: { ...(usage as object), output_tokens: 1 } },
    },
    { type: 'ping' },
    ...blocks,
    { type: 'message_delta', delta: { stop_reason: stopReason }, usage },
    { type: 'message_stop' },
  ]
}

const pieceFields: Readonly<Record<string, readonly [field: string, delta: string]>> = {
  text: ['text', 'text_delta'],
  thinking: ['thinking', 'thinking_delta'],
}

function blockRecords(block: JsonObject, index: number): readonly JsonObject[] {
  const type = String(block['type'])
  const piece = pieceFields[type]
  const start: Record<string, unknown> = { ...block }
  const deltas: JsonObject[] = []
  const cut = (text: string, delta: (half: string) => JsonObject) => {
    const middle = Math.floor(text.length / 2)
    deltas.push(delta(text.slice(0, middle)), delta(text.slice(middle)))
  }
  if (piece) {
    start[piece[0]] = ''
    cut(String(block[piece[0]]), (half) => ({ type: piece[1], [piece[0]]: half }))
  }
  if (block['signature'] !== undefined) {
    start['signature'] = ''
    deltas.push({ type: 'signature_delta', signature: block['signature'] })
  }
  if (Array.isArray(block['citations'])) {
    start['citations'] = []
    for (const citation of block['citations']) deltas.push({ type: 'citations_delta', citation })
  }
  if (type === 'tool_use' || type === 'server_tool_use') {
    start['input'] = {}
    if (Object.keys(block['input'] as object).length > 0) {
      cut(JSON.stringify(block['input']), (half) => ({ type: 'input_json_delta', partial_json: half }))
    }
  }
  return [
    { type: 'content_block_start', index, content_block: start },
    ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ]
}

/** The whole body that a recorded stream adds up to, by the rules of the API's documentation. */
export function bodyOf(records: readonly JsonObject[]): JsonObject {
  const body: Record<string, unknown> = {}
  const blocks: Record<string, unknown>[] = []
  const json: string[] = []
  for (const value of records) {
    const index = Number(value['index'] ?? 0)
    const delta = (value['delta'] ?? {}) as Record<string, unknown>
    if (value['type'] === 'message_start') Object.assign(body, value['message'])
    if (value['type'] === 'content_block_start') blocks[index] = { ...(value['content_block'] as object) }
    if (value['type'] === 'content_block_delta') {
      for (const field of ['text', 'thinking', 'signature'] as const) {
        if (typeof delta[field] === 'string')
          blocks[index]![field] = ((blocks[index]![field] as string | undefined) ?? '') + delta[field]
      }
      if (typeof delta['partial_json'] === 'string') json[index] = (json[index] ?? '') + delta['partial_json']
    }
    if (value['type'] === 'message_delta') {
      body['stop_reason'] = delta['stop_reason']
      body['usage'] = { ...(body['usage'] as object), ...(value['usage'] as object) }
    }
  }
  json.forEach((text, index) => (blocks[index]!['input'] = JSON.parse(text)))
  return { ...body, content: blocks }
}
