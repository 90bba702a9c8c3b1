import type { GenerateRequest, JsonObject, Part, Target } from '@hadrian/core/provider'
import { extensionFields } from './extra-fields.ts'
import { maxTokensField } from './quirks.ts'
import type { Quirks } from './quirks.ts'
import { responsesPass } from './responses-passthrough.ts'
import { dropsTools } from './tools.ts'

function isCacheMarked(part: Part): boolean {
  if (part.cacheControl) return true
  return part.type === 'tool_result' && part.content.some(isCacheMarked)
}

function messagesPass(request: GenerateRequest, quirks: Quirks): boolean {
  const { developerRole, reasoningHistory, extensions } = quirks
  const takesMarks = extensions.has('cache_control')
  const takesReasoning = reasoningHistory === 'as_sent' || reasoningHistory === 'reasoning_details'
  if (!takesMarks && request.tools?.some((tool) => tool.type === 'function' && tool.cacheControl)) return false
  return request.messages.every((message) => {
    if (message.role === 'developer' && !developerRole) return false
    if (!takesReasoning && message.role === 'assistant' && hasReasoning(message.content)) return false
    return takesMarks || !message.content.some(isCacheMarked)
  })
}

function hasReasoning(content: readonly Part[]): boolean {
  return content.some((part) => part.type === 'reasoning')
}

/** `reasoning` in another form than `reasoning_effort`, or an effort that OpenAI's API has not. */
function reasoningPasses(request: GenerateRequest, words: readonly string[], quirks: Quirks): boolean {
  if (!request.reasoning || quirks.extensions.has('reasoning')) return true
  const { effort } = request.reasoning
  return words.includes('reasoning_effort') && !words.includes('reasoning') && effort !== 'max'
}

function limitPasses(request: GenerateRequest, target: Target, words: readonly string[], quirks: Quirks): boolean {
  if (request.maxOutputTokens === undefined) return true
  if (request.extra['max_tokens'] !== undefined) return false
  return words.includes(
    maxTokensField(
      words.find((word) => word.startsWith('max_')),
      target,
      quirks,
    ),
  )
}

function chatPasses(request: GenerateRequest, target: Target, quirks: Quirks): boolean {
  const words = request.form?.split(' ') ?? []
  return (
    reasoningPasses(request, words, quirks) &&
    limitPasses(request, target, words, quirks) &&
    !dropsTools(request, { quirks, sameDialect: true }) &&
    messagesPass(request, quirks)
  )
}

/** True where the client's own bytes say what this upstream is to do, so that nothing of them must be mapped. */
export function passes(request: GenerateRequest, target: Target, quirks: Quirks): boolean {
  if (request.stream && !quirks.includeUsage) return false
  const { topK, minP, extra } = request
  const taken: JsonObject = { top_k: topK, min_p: minP, ...extra }
  const mapped = ['top_k', 'min_p', ...extensionFields]
  if (mapped.some((name) => taken[name] !== undefined && !quirks.extensions.has(name))) return false
  if (request.dialect === 'chat') return chatPasses(request, target, quirks)
  if (request.dialect !== 'responses') return true
  return (request.reasoning?.effort !== 'max' || quirks.extensions.has('reasoning')) && responsesPass(request)
}
