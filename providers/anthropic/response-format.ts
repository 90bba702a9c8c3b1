import type { GenerateRequest, JsonObject, ResponseFormat } from '@hadrian/core/provider'

import type { LossList } from './loss-list.ts'
import { closedSchema } from './output-schema.ts'
import type { ModelTraits } from './traits.ts'
import { type Block, isObject, structuredOutputTool } from './wire.ts'

/** How the wanted form of the answer is brought about: at most one of the three. */
export interface FormatPlan {
  /** `output_config.format`. */
  readonly format?: JsonObject
  /** A tool that the model must call; its input is the answer. */
  readonly tool?: JsonObject
  /** A prompt to put at the end of the system prompt. */
  readonly instruction?: Block
}

/**
 * Decides how to serve `response_format`: natively where model and schema allow, else by a forced tool, else by
 * instruction. `toolAllowed` is false where a forced tool cannot be: the client has tools, or the model is to think.
 */
export function planFormat(
  request: GenerateRequest,
  traits: ModelTraits,
  toolAllowed: boolean,
  losses: LossList,
): FormatPlan {
  const wanted = request.responseFormat
  if (wanted === undefined || wanted.type === 'text') return {}
  const { name, description, schema, isJson } = readFormat(wanted)
  if (!isJson) {
    losses.unsupported('responseFormat', 'there is no format of this type')
    return {}
  }
  if (schema === undefined) {
    losses.adjusted('responseFormat', 'JSON is asked for by an instruction, since the Messages API has no JSON mode')
    return {
      instruction: { type: 'text', text: 'Answer with one JSON object and nothing else: no prose, no code fence.' },
    }
  }
  const native = traits.structuredOutput ? closedSchema(schema) : undefined
  if (native) {
    if (native.unenforced.length > 0) {
      losses.adjusted(
        'responseFormat',
        `${native.unenforced.join(', ')} went into descriptions, which are not enforced`,
      )
    }
    return { format: { type: 'json_schema', schema: native.schema } }
  }
  const why = traits.structuredOutput ? 'the schema has open objects' : 'the model has no structured output'
  if (toolAllowed && schema['type'] === 'object') {
    losses.adjusted('responseFormat', `the schema is asked for by a forced tool, since ${why}`)
    const purpose = description ?? `Gives the answer, in the form of ${name}.`
    return { tool: { name: structuredOutputTool, description: purpose, input_schema: schema } }
  }
  losses.adjusted('responseFormat', `the schema is asked for by an instruction, since ${why}`)
  const text =
    'Answer with one JSON value and nothing else: no prose, no code fence. It must be valid against this JSON Schema:\n' +
    JSON.stringify(schema)
  return { instruction: { type: 'text', text } }
}

/** What is wanted, also where it came with fields of its dialect that have no canonical name and so stayed native. */
function readFormat(wanted: ResponseFormat): {
  readonly isJson: boolean
  readonly name: string
  readonly description?: string
  readonly schema?: JsonObject
} {
  if (wanted.type === 'json_schema') return { isJson: true, ...wanted }
  if (wanted.type !== 'native') return { isJson: wanted.type === 'json_object', name: 'answer' }
  const { type, json_schema: nested } = wanted.value
  const { name, description, schema } = isObject(nested) ? nested : wanted.value
  return {
    isJson: type === 'json_schema' || type === 'json_object',
    name: typeof name === 'string' ? name : 'answer',
    ...(typeof description === 'string' && { description }),
    ...(type === 'json_schema' && isObject(schema) && { schema }),
  }
}
