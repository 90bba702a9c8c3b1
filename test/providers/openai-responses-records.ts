import type { JsonObject, StreamEvent } from '../../core/contract/canonical.ts'
import { responsesDecoder } from '../../providers/openai/responses-decode.ts'

/** What a stream of these records says. */
export function decodeStream(records: readonly JsonObject[]): StreamEvent[] {
  const decoder = responsesDecoder()
  const events = records.flatMap((record) =>
    decoder.push({ event: String(record['type']), data: JSON.stringify(record) }),
  )
  return [...events, ...decoder.end()]
}

/** Every kind of item there is. */
export const output: JsonObject[] = [
  {
    type: 'reasoning',
    id: 'rs_1',
    summary: [
      { type: 'summary_text', text: 'First' },
      { type: 'summary_text', text: 'Second' },
    ],
    content: [{ type: 'reasoning_text', text: 'raw' }],
    encrypted_content: 'gAAA',
  },
  { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search', query: 'q' } },
  {
    type: 'message',
    id: 'msg_1',
    role: 'assistant',
    status: 'completed',
    content: [
      {
        type: 'output_text',
        text: 'Hello',
        annotations: [{ type: 'url_citation', url: 'u', title: 't', start_index: 0, end_index: 1 }],
        logprobs: [{ token: 'Hello', logprob: -1, bytes: [], top_logprobs: [] }],
      },
      { type: 'refusal', refusal: 'No' },
    ],
  },
  { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'f', arguments: '{"a":1}', status: 'completed' },
  { type: 'custom_tool_call', id: 'ctc_1', call_id: 'call_2', name: 'g', input: 'ls', status: 'completed' },
  { type: 'reasoning', id: 'rs_2', summary: [], encrypted_content: 'gAAB' },
]

/** Cuts a text in two, as deltas. */
function piecesOf(text: string): string[] {
  return [text.slice(0, 2), text.slice(2)].filter((piece) => piece !== '')
}

/** The records an upstream may send for the items; `sends` leaves kinds of them out. */
export function recordsFor(
  items: readonly JsonObject[],
  sends: (kind: string) => boolean,
  openNames: boolean,
): JsonObject[] {
  const response = { id: 'resp_1', model: 'gpt-5', created_at: 1, status: 'completed', output: items, usage: null }
  const records: JsonObject[] = [{ type: 'response.created', response: { ...response, output: [] } }]
  for (const [index, item] of items.entries()) {
    const place = { output_index: index, item_id: item['id'] }
    const add = (kind: string, type: string, fields: JsonObject) => {
      if (sends(kind)) records.push({ type: `response.${type}`, ...place, ...fields })
    }
    const texts = (type: string, at: JsonObject, text: string, field = 'text', extra: JsonObject = {}) => {
      for (const [number, delta] of piecesOf(text).entries())
        add('delta', `${type}.delta`, { ...at, delta, ...(number === 0 && extra) })
      add('done', `${type}.done`, { ...at, [field]: text, ...extra })
    }
    const { summary, content, arguments: input, input: customInput, encrypted_content: _, ...known } = item
    const isCall = input !== undefined || customInput !== undefined
    const blank = {
      ...known,
      ...(summary !== undefined && { summary: [] }),
      ...(content !== undefined && { content: [] }),
    }
    add('added', 'output_item.added', { item: isCall ? { ...known, arguments: '', input: '' } : blank })
    for (const [at, part] of ((summary ?? []) as JsonObject[]).entries()) {
      add('part', 'reasoning_summary_part.added', { summary_index: at, part: { ...part, text: '' } })
      texts('reasoning_summary_text', { summary_index: at }, String(part['text']))
      add('part', 'reasoning_summary_part.done', { summary_index: at, part })
    }
    for (const [at, part] of ((content ?? []) as JsonObject[]).entries()) {
      const where = { content_index: at }
      if (part['type'] === 'reasoning_text')
        texts(openNames ? 'reasoning' : 'reasoning_text', where, String(part['text']))
      else if (part['type'] === 'refusal') texts('refusal', where, String(part['refusal']), 'refusal')
      else {
        texts('output_text', where, String(part['text']), 'text', { logprobs: part['logprobs'] })
        const annotations = part['annotations'] as JsonObject[]
        for (const annotation of annotations)
          add('annotation', 'output_text.annotation.added', { ...where, annotation })
      }
      if (part['type'] !== 'reasoning_text') add('part', 'content_part.done', { ...where, part })
    }
    if (input !== undefined) texts('function_call_arguments', {}, input as string, 'arguments')
    if (customInput !== undefined) texts('custom_tool_call_input', {}, customInput as string, 'input')
    add('item', 'output_item.done', { item })
  }
  return [...records, { type: 'response.completed', response }]
}
