import type { JsonObject, Part, ReasoningEffort, ReasoningPart, ReasoningRequest } from '../contract/canonical.ts'
import { FieldReader, isObject } from './chat-fields.ts'
import { checkReasoning } from './reasoning-request.ts'
import { invalidField } from './responses-fields.ts'

const efforts: readonly ReasoningEffort[] = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']

/**
 * What the client asks for in `reasoning`, `reasoning_effort` and `include_reasoning`. Adds to `form` which of them it
 * wrote. Throws `invalid_request_error` where they contradict each other.
 */
export function readReasoning(fields: FieldReader, form: string[]): ReasoningRequest | undefined {
  const object = fields.object('reasoning')
  const inner = new FieldReader(object ?? {})
  const own = inner.oneOf('effort', efforts)
  const shorthand = fields.oneOf('reasoning_effort', efforts)
  const maxTokens = inner.number('max_tokens')
  if (own !== undefined && shorthand !== undefined && own !== shorthand) {
    throw invalidField('reasoning_effort', `'${shorthand}' contradicts reasoning.effort '${own}'`)
  }
  const effort = own ?? shorthand
  if (shorthand !== undefined) form.push('reasoning_effort')
  if (object) form.push(own === undefined ? 'reasoning' : 'reasoning reasoning.effort')
  else if (shorthand === undefined) {
    const include = fields.boolean('include_reasoning')
    if (include === undefined) return undefined
    form.push('include_reasoning')
    return include ? {} : { exclude: true }
  }
  const enabled = inner.boolean('enabled')
  checkReasoning({ effort, maxTokens, enabled })
  const exclude = inner.boolean('exclude')
  const summary = inner.string('summary')
  const extra = inner.rest()
  return {
    ...(effort !== undefined && { effort }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(exclude !== undefined && { exclude }),
    ...(enabled !== undefined && { enabled }),
    ...(summary !== undefined && { summary }),
    ...(extra && { extra }),
  }
}

/** The field of each kind of `reasoning_details` entry that holds its content, and its canonical name. */
const contents = {
  'reasoning.text': ['text', 'text'],
  'reasoning.summary': ['summary', 'summary'],
  'reasoning.encrypted': ['data', 'encrypted'],
} as const

/** One entry of `reasoning_details`. What has no canonical name, nulls too, is kept: the array must go back unmodified. */
function readDetail(detail: JsonObject): Part {
  const { type, id, format, signature, ...others } = detail
  const known = contents[type as keyof typeof contents]
  const content = known && others[known[0]]
  const signs = type === 'reasoning.text' && typeof signature === 'string'
  if (!known || (typeof content !== 'string' && !signs)) return { type: 'native', dialect: 'chat', value: detail }
  const extra: Record<string, unknown> = { ...others }
  if (typeof content === 'string') delete extra[known[0]]
  if ('id' in detail && typeof id !== 'string') extra['id'] = id
  if ('format' in detail && typeof format !== 'string') extra['format'] = format
  if ('signature' in detail && !signs) extra['signature'] = signature
  return {
    type: 'reasoning',
    ...(typeof content === 'string' && { [known[1]]: content }),
    ...(signs && { signature }),
    ...(typeof id === 'string' && { id }),
    ...(typeof format === 'string' && { format }),
    ...(Object.keys(extra).length > 0 && { extra }),
  }
}

/**
 * Joins an entry to the one before it when both are pieces of the same streamed entry: clients that collect the deltas
 * of a stream without adding them up send back one entry for each piece.
 */
function joinPieces(details: readonly JsonObject[]): readonly JsonObject[] {
  const joined: JsonObject[] = []
  for (const detail of details) {
    const last = joined.at(-1)
    const known = contents[detail['type'] as keyof typeof contents]
    const isPiece =
      last !== undefined &&
      known !== undefined &&
      typeof detail['index'] === 'number' &&
      detail['index'] === last['index'] &&
      detail['type'] === last['type']
    if (!isPiece) {
      joined.push(detail)
      continue
    }
    const pieces = [last[known[0]], detail[known[0]]].filter((piece) => typeof piece === 'string')
    const present = Object.fromEntries(Object.entries(detail).filter(([, value]) => value !== null))
    joined[joined.length - 1] = { ...last, ...present, ...(pieces.length > 0 && { [known[0]]: pieces.join('') }) }
  }
  return joined
}

/**
 * The thinking of an assistant message that the client sends back: `reasoning_details`, else the plain text of
 * `reasoning` or `reasoning_content`, whose name is added to `form`.
 */
export function readReasoningParts(fields: FieldReader, form: string[]): readonly Part[] {
  const details = fields.peek('reasoning_details')
  if (Array.isArray(details) && details.length > 0 && details.every(isObject)) {
    fields.objects('reasoning_details')
    return joinPieces(details).map(readDetail)
  }
  for (const name of ['reasoning', 'reasoning_content'] as const) {
    const text = fields.string(name)
    if (text === undefined) continue
    form.push(name)
    return [{ type: 'reasoning', text } satisfies ReasoningPart]
  }
  return []
}
