import { definePlugin } from '@hadrian/core/plugin'
import type { Exchange, JsonObject, ResponseFormat, StreamEvent } from '@hadrian/core/plugin'
import { HeldAnswer } from './held-answer.ts'
import { heal, isValid } from './heal.ts'
import type { Wanted } from './heal.ts'

export default definePlugin({
  name: 'response-healing',
  api: 1,
  description: 'Repairs answers that should be JSON and are not quite.',
  options: { type: 'object', additionalProperties: false, properties: {} },
  // Answers pass in reverse order: a repair can put a word together, so who judges words must come later.
  order: { after: ['blocklist'] },
  params: { type: 'object', additionalProperties: false, properties: {} },

  setup: () => ({
    rewrites: ({ request }) => wantedBy(request.responseFormat) !== undefined,

    stream(exchange, events) {
      const wanted = wantedBy(exchange.request.responseFormat)
      return wanted === undefined ? events : healed(exchange, events, wanted)
    },
  }),
})

/** What the answer should be; undefined if it need not be JSON. */
function wantedBy(format: ResponseFormat | undefined): Wanted | undefined {
  // A format with fields that the canonical form has no name for stays as the client wrote it.
  const {
    type,
    schema,
    json_schema: nested,
  } = (format?.type === 'native' ? format.value : (format ?? {})) as WireFormat
  if (type === 'json_object') return 'object'
  if (type !== 'json_schema') return undefined
  const top = (schema ?? nested?.schema)?.['type']
  return top === 'object' || top === 'array' ? top : 'any'
}

/** `response_format` of Chat Completions, which nests the schema, and `text.format` of the Responses API, which does not. */
interface WireFormat {
  readonly type?: unknown
  readonly schema?: JsonObject
  readonly json_schema?: { readonly schema?: JsonObject }
}

async function* healed(
  exchange: Exchange,
  events: AsyncIterable<StreamEvent>,
  wanted: Wanted,
): AsyncGenerator<StreamEvent> {
  const param = exchange.dialect === 'responses' ? 'text.format' : 'response_format'
  const answer = new HeldAnswer({
    repair(text, choice) {
      const repaired = heal(text, wanted)
      if (repaired)
        exchange.warn({
          code: 'response_healed',
          message: `The model did not answer with valid JSON; its answer${of(exchange, choice)} was repaired`,
          param,
          details: { choice, defects: repaired.defects },
        })
      return repaired?.text
    },
    truncated(text, choice) {
      if (!isValid(text))
        exchange.warn({
          code: 'response_truncated',
          message: `The answer${of(exchange, choice)} was cut off by its length limit, so its JSON is not whole and was not repaired`,
          param,
          details: { choice },
        })
    },
  })
  try {
    for await (const event of events) yield* answer.push(event)
  } catch (error) {
    yield* answer.rest()
    throw error
  }
  yield* answer.rest()
}

/** Names the choice where there are several: equal warnings are shown once. */
function of({ request }: Exchange, choice: number): string {
  return (request.n ?? 1) > 1 ? ` (choice ${choice})` : ''
}
