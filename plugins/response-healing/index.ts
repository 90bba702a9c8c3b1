import { definePlugin } from '@hadrian/core/plugin'
import type { Exchange, JsonObject, ResponseFormat, StreamEvent } from '@hadrian/core/plugin'
import { HeldAnswer } from './held-answer.ts'
import { heal } from './heal.ts'
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
  const answer = new HeldAnswer((text) => {
    const repaired = heal(text, wanted)
    if (repaired !== undefined) {
      exchange.warn({
        code: 'response_healed',
        message: 'The model did not answer with valid JSON; its answer was repaired',
        param: exchange.dialect === 'responses' ? 'text.format' : 'response_format',
      })
    }
    return repaired
  })
  try {
    for await (const event of events) yield* answer.push(event)
  } catch (error) {
    yield* answer.rest()
    throw error
  }
  yield* answer.rest()
}
