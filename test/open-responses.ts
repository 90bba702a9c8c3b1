/**
 * Checks responses and their streams against the public Open Responses schema, and against the rules of order that a
 * schema cannot say. Throws an `AssertionError` that names what is wrong.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { ValidateFunction } from 'ajv/dist/2020.js'

type Json = Record<string, unknown>

/** One record of a stream: its `event:` line and its `data:`. */
export interface StreamRecord {
  readonly event?: string | undefined
  readonly data: string
}

const document = JSON.parse(readFileSync(new URL('fixtures/open-responses.schema.json', import.meta.url), 'utf8')) as {
  components: { schemas: Record<string, Json> }
}
const { schemas } = document.components

/** A list of the schema, by its path. */
function at(...path: string[]): Json[] {
  let value: unknown = schemas
  for (const key of path) value = (value as Json | undefined)?.[key]
  assert.ok(value, `the schema has no ${path.join('.')}`)
  return value as Json[]
}

/** An object of any type but these. */
function isOther(...types: string[]): Json {
  return {
    type: 'object',
    required: ['type'],
    properties: { type: { type: 'string', not: { enum: types } } },
  }
}

/**
 * Where the schema is narrower than the API it describes: values of OpenAI's that it has no word for. Each is widened
 * here and nowhere else.
 */
function widen(): void {
  // The echo of a JSON schema may only be null there.
  at('JsonSchemaResponseFormat', 'properties', 'schema', 'anyOf').push({ type: 'object' })
  ;(at('ReasoningEffortEnum', 'enum') as unknown[]).push('minimal', 'max')
  // Hosted and custom tools, their choice and their items are OpenAI's own.
  at('Tool', 'oneOf').push(isOther('function'))
  at('ResponseResource', 'properties', 'tool_choice', 'oneOf').push(isOther('function', 'allowed_tools'))
  at('AllowedToolChoice', 'properties', 'tools', 'items', 'oneOf').push(isOther('function'))
  at('Annotation', 'oneOf').push(isOther('url_citation'))
  const item = isOther('message', 'function_call', 'function_call_output', 'reasoning', 'compaction')
  at('ItemField', 'oneOf').push({ ...item, required: ['type', 'id', 'status'] })
}

/** The OpenAI client stops at an event it does not know, so that these two have its names and the schema's shape. */
const renamed: Readonly<Record<string, string>> = {
  'response.reasoning_text.delta': 'response.reasoning.delta',
  'response.reasoning_text.done': 'response.reasoning.done',
}

/** Events that OpenAI has and the schema does not. */
const unspecified = /^response\.(custom_tool_call_input|[a-z_]+_call|mcp_list_tools|mcp_call_arguments)(_code)?\./

widen()
const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addSchema(document, 'open-responses')

function validator(name: string): ValidateFunction {
  const validate = ajv.getSchema(`open-responses#/components/schemas/${name}`)
  assert.ok(validate, `no schema ${name}`)
  return validate
}

const eventSchemas = new Map<string, ValidateFunction>()
for (const [name, schema] of Object.entries(schemas)) {
  const type = (schema['properties'] as Record<string, Json> | undefined)?.['type']?.['enum'] as string[] | undefined
  if (name.endsWith('StreamingEvent') && type?.[0] !== undefined) eventSchemas.set(type[0], validator(name))
}

function check(validate: ValidateFunction, value: unknown, what: string): void {
  if (validate(value)) return
  assert.fail(`${what}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value)}`)
}

/** Checks a whole response object. */
export function checkResponse(value: unknown): void {
  check(validator('ResponseResource'), value, 'response')
  const { status, output, incomplete_details: details, error, completed_at: completedAt } = value as Json
  const statuses = (output as Json[]).map((item) => item['status'])
  const unfinished = statuses.findIndex((each) => each !== undefined && each !== 'completed')
  if (status === 'completed') {
    assert.equal(unfinished, -1, 'an item of a completed response is not completed')
    assert.equal(typeof completedAt, 'number', 'a completed response has no completed_at')
  }
  if (status === 'incomplete') {
    assert.ok(details, 'an incomplete response does not say why')
    assert.ok(unfinished === -1 || unfinished === statuses.length - 1, 'an incomplete item is not the last one')
  }
  assert.equal(error !== null, status === 'failed', 'error is there exactly if the response failed')
  const ids = (output as Json[]).map((item) => item['id'])
  assert.equal(new Set(ids).size, ids.length, `ids of items are not unique: ${ids.join(', ')}`)
}

/** Splits the text of a stream into records; comments are left out. */
export function recordsOf(text: string): StreamRecord[] {
  assert.ok(text === '' || text.endsWith('\n\n'), 'the stream does not end with an empty line')
  return text
    .split('\n\n')
    .map((block) => block.split('\n').filter((line) => line !== '' && !line.startsWith(':')))
    .filter((lines) => lines.length > 0)
    .map((lines) => {
      const values = (field: string) =>
        lines.filter((line) => line.startsWith(`${field}: `)).map((line) => line.slice(field.length + 2))
      return { event: values('event')[0], data: values('data').join('\n') }
    })
}

interface OpenItem {
  readonly id: unknown
  readonly type: unknown
  readonly parts: Map<string, { open: boolean; text: string; done: boolean }>
  arguments: string
}

const terminals: ReadonlySet<unknown> = new Set(['response.completed', 'response.incomplete', 'response.failed'])

/**
 * Checks a stream, as records or as text: every event against the schema; numbers without a gap; items and parts that
 * begin before their pieces and end after them; texts that add up; one terminal event whose output is what was
 * streamed; `[DONE]` last, and only if nothing failed. Returns the final response.
 */
export function checkStream(stream: readonly StreamRecord[] | string): Json {
  const records = typeof stream === 'string' ? recordsOf(stream) : [...stream]
  const isDone = records.at(-1)?.data === '[DONE]'
  if (isDone) records.pop()
  const events = records.map(({ event, data }) => {
    const value = JSON.parse(data) as Json
    assert.equal(event, value['type'], 'the event line differs from the type')
    return value
  })
  for (const [index, event] of events.entries()) {
    assert.equal(event['sequence_number'], index, `sequence number of ${String(event['type'])}`)
    checkEvent(event)
  }
  const types = events.map((event) => event['type'])
  assert.deepEqual(types.slice(0, 2), ['response.created', 'response.in_progress'], 'the first two events')
  const last = events.at(-1)
  assert.ok(last && terminals.has(last['type']), 'the last event is not terminal')
  assert.equal(types.filter((type) => terminals.has(type)).length, 1, 'more than one terminal event')
  const hasFailed = last['type'] === 'response.failed'
  assert.equal(isDone, !types.includes('error'), '[DONE] is there exactly if nothing failed')
  const final = last['response'] as Json
  assert.equal(`response.${String(final['status'])}`, last['type'])
  const items = checkItems(events, hasFailed)
  if (!hasFailed) assert.deepEqual(final['output'], items, 'the final output differs from what was streamed')
  const ids = new Set(events.flatMap(({ response }) => (response ? [(response as Json)['id']] : [])))
  assert.equal(ids.size, 1, 'the id of the response changes')
  return final
}

function checkEvent(event: Json): void {
  const type = String(event['type'])
  const alias = renamed[type]
  const validate = eventSchemas.get(alias ?? type)
  if (!validate) {
    assert.match(type, unspecified, 'an event that neither the schema nor OpenAI has')
    return
  }
  check(validate, alias === undefined ? event : { ...event, type: alias }, type)
  if (event['response']) checkResponse(event['response'])
}

/** Follows the items through the events; returns them as their done-events gave them, in the order of the output. */
function checkItems(events: readonly Json[], hasFailed: boolean): unknown[] {
  const open = new Map<unknown, OpenItem>()
  const done: unknown[] = []
  let added = 0
  for (const event of events) {
    const type = String(event['type'])
    const index = event['output_index'] as number | undefined
    if (index === undefined) continue
    if (type === 'response.output_item.added') {
      const item = event['item'] as Json
      assert.equal(index, added++, 'items are not added in order')
      open.set(index, { id: item['id'], type: item['type'], parts: new Map(), arguments: '' })
      continue
    }
    const item = open.get(index)
    assert.ok(item, `${type} for an item that is not open`)
    if (type === 'response.output_item.done') {
      checkDone(item, event['item'] as Json)
      open.delete(index)
      done[index] = event['item']
      continue
    }
    assert.equal(event['item_id'], item.id, `${type} with another item's id`)
    checkPiece(item, type, event)
  }
  if (!hasFailed) assert.equal(open.size, 0, 'an item never ended')
  return done
}

function checkPiece(item: OpenItem, type: string, event: Json): void {
  if (type.endsWith('_arguments.delta') || type.endsWith('_input.delta')) {
    item.arguments += String(event['delta'])
    return
  }
  if (type.endsWith('_arguments.done') || type.endsWith('_input.done')) {
    assert.equal(event['arguments'] ?? event['input'], item.arguments, type)
    return
  }
  const isSummary = event['summary_index'] !== undefined
  const position = (isSummary ? event['summary_index'] : event['content_index']) as number | undefined
  if (position === undefined) return
  const key = `${isSummary ? 'summary' : 'content'} ${position}`
  if (type.endsWith('_part.added')) {
    const before = [...item.parts.keys()].filter((other) => other.startsWith(isSummary ? 'summary' : 'content'))
    assert.equal(position, before.length, 'parts are not added in order')
    for (const part of item.parts.values()) assert.ok(!part.open, 'a part begins before the one before it has ended')
    item.parts.set(key, { open: true, text: '', done: false })
    return
  }
  const part = item.parts.get(key)
  assert.ok(part?.open, `${type} for a part that is not open`)
  if (type.endsWith('.delta')) {
    assert.ok(!part.done, 'a delta after the done-event')
    part.text += String(event['delta'])
  } else if (type.endsWith('_part.done')) {
    assert.ok(part.done, 'a part ends before its text')
    const { text, refusal } = event['part'] as Json
    assert.equal(text ?? refusal, part.text, type)
    part.open = false
  } else if (type.endsWith('.done')) {
    assert.equal(event['text'] ?? event['refusal'], part.text, type)
    part.done = true
  }
}

function checkDone(open: OpenItem, item: Json): void {
  assert.equal(item['id'], open.id, 'the id of an item changes')
  assert.equal(item['type'], open.type, 'the type of an item changes')
  assert.notEqual(item['status'], 'in_progress', 'an item ended in progress')
  for (const [key, part] of open.parts) assert.ok(!part.open, `${key} of an item never ended`)
  const text = (part: Json) => String(part['text'] ?? part['refusal'])
  for (const kind of ['content', 'summary'] as const) {
    const streamed = [...open.parts].filter(([key]) => key.startsWith(kind)).map(([, part]) => part.text)
    if (Array.isArray(item[kind])) assert.deepEqual((item[kind] as Json[]).map(text), streamed, `${kind} differs`)
  }
  const input = item['arguments'] ?? item['input']
  if (open.type === 'function_call' || open.type === 'custom_tool_call') assert.equal(input, open.arguments)
}
