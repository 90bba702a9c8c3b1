import type { Answer } from '../contract/answer.ts'
import type { GenerateRequest, JsonObject, Usage } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import { FieldReader, readCommon } from './chat-fields.ts'
import { costFields } from './chat-usage.ts'
import type { ClientDialect, ReplyContext, ReplyEnd } from './dialect.ts'

/** Reads an embeddings body: the input and whatever else is its own stays in `extra`. */
function decode(body: JsonObject): GenerateRequest {
  const fields = new FieldReader(body)
  if (fields.boolean('stream')) {
    const message = 'Embeddings cannot be streamed'
    throw gatewayError('unsupported', message, { param: 'stream', details: { errors: [{ path: 'stream', message }] } })
  }
  const known = readCommon(fields)
  return {
    operation: 'embeddings',
    dialect: 'embeddings',
    messages: [],
    stream: false,
    ...known,
    extra: fields.rest() ?? {},
  }
}

function encodeUsage(usage: Usage): JsonObject {
  const native = typeof usage.native?.['prompt_tokens'] === 'number' ? usage.native : {}
  return {
    ...native,
    prompt_tokens: usage.inputTokens,
    total_tokens: usage.inputTokens + usage.outputTokens,
    ...costFields(usage, native),
    ...(usage.estimated && { estimated: true }),
  }
}

function encode(answer: Answer, end: ReplyEnd, context: ReplyContext): JsonObject {
  const parts = answer.choices.flatMap((choice) => choice.content)
  const body = parts.find((part) => part.type === 'native' && part.dialect === 'embeddings')
  return {
    object: 'list',
    data: [],
    model: answer.model ?? context.model,
    ...(body?.type === 'native' && body.value),
    ...(end.usage && { usage: encodeUsage(end.usage) }),
    ...(end.metadata && { hadrian_metadata: end.metadata }),
  }
}

function refuseStream(): never {
  throw gatewayError('internal_error', 'Embeddings have no stream to write')
}

/**
 * The client dialect of `POST /embeddings`. An answer is one `part` event with a native part of dialect `embeddings`,
 * which holds the body without its usage.
 */
export const embeddings: ClientDialect = {
  name: 'embeddings',
  operation: 'embeddings',
  decode,
  encode,
  writer: refuseStream,
  verbatimWriter: refuseStream,
  encodeUsage,
}
