import type { GenerateRequest, JsonObject } from '../contract/canonical.ts'
import { chatScalars, FieldReader, readCommon, readScalars, readStreamAndStop } from './chat-fields.ts'
import { readMessages } from './chat-messages.ts'
import { readReasoning } from './chat-reasoning.ts'
import { readResponseFormat, readTools } from './chat-tools.ts'

/** `max_completion_tokens`, else `max_tokens`, which of the two is added to `form`. */
function readMaxTokens(fields: FieldReader, form: string[]): Pick<GenerateRequest, 'maxOutputTokens'> {
  for (const name of ['max_completion_tokens', 'max_tokens'] as const) {
    const maxOutputTokens = fields.number(name)
    if (maxOutputTokens === undefined) continue
    form.push(name)
    return { maxOutputTokens }
  }
  return {}
}

/**
 * Reads a chat body. `form` of the request is a list of words: `stream` where it was an explicit false, `stop` where it
 * was a string, and the names of the fields that were used of those that have two spellings: `max_completion_tokens`,
 * `max_tokens`, `functions`, `reasoning`, `reasoning.effort`, `reasoning_effort`, `include_reasoning`.
 */
export function decodeChatRequest(body: JsonObject): GenerateRequest {
  const fields = new FieldReader(body)
  const form: string[] = []
  const request = {
    operation: 'generate',
    dialect: 'chat',
    ...readCommon(fields),
    messages: readMessages(fields.list('messages') ?? []),
    ...readTools(fields, form),
    ...readStreamAndStop(fields, form),
    ...readMaxTokens(fields, form),
    ...readScalars(fields, chatScalars),
  } as const
  const responseFormat = readResponseFormat(fields)
  const reasoning = readReasoning(fields, form)
  return {
    ...request,
    ...(responseFormat && { responseFormat }),
    ...(reasoning && { reasoning }),
    extra: fields.rest() ?? {},
    form: form.join(' '),
  }
}
