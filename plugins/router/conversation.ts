import { hash } from 'node:crypto'
import { invalidRequest } from '@hadrian/core/plugin'
import type { Exchange, GenerateRequest, Message, Part } from '@hadrian/core/plugin'

/** Longest `session_id` of a body. */
const longestSession = 256
/** Characters of a message that tell one conversation from another; more would only cost time. */
const tellingLength = 16_384

/**
 * Checks `session_id` of the body.
 *
 * @throws GatewayError `invalid_request_error` if it is no string of at most 256 characters
 */
export function checkSession({ extra }: GenerateRequest): void {
  const session = extra['session_id']
  if (session === undefined || session === null) return
  if (typeof session !== 'string' || session.length > longestSession)
    throw invalidRequest([{ path: 'session_id', message: `must be a string of at most ${longestSession} characters` }])
}

/**
 * Who talks with which model about what, as a hash: what the client calls the conversation, else its first system message
 * and its first other one. Undefined for a request without either.
 *
 * @param request as it was when it was routed, since later plugins may change its messages
 */
export function conversationOf(
  { principal, headers }: Pick<Exchange, 'principal' | 'headers'>,
  request: GenerateRequest,
): string | undefined {
  const name = nameOf(request, headers) ?? openingOf(request.messages)
  return name === undefined ? undefined : hash('sha256', JSON.stringify([principal.id, name]), 'base64url')
}

function nameOf({ extra, promptCacheKey }: GenerateRequest, headers: Exchange['headers']): string | undefined {
  const session = extra['session_id'] || headers['x-session-id']
  if (typeof session === 'string') return `session ${session}`
  return promptCacheKey ? `cache ${promptCacheKey}` : undefined
}

function isSystem({ role }: Message): boolean {
  return role === 'system' || role === 'developer'
}

function openingOf(messages: readonly Message[]): string | undefined {
  if (messages.length === 0) return undefined
  const opening = [messages.find(isSystem), messages.find((message) => !isSystem(message))]
  return `opening ${opening.map((message) => message?.content.map(traitOf).join('\n') ?? '').join('\n\n')}`
}

/** What tells a part from another of its kind. */
function traitOf(part: Part): string {
  switch (part.type) {
    case 'text':
      return beginningOf(part.text)
    case 'media':
      return beginningOf(part.url ?? part.fileId ?? part.data ?? '')
    case 'tool_call':
      return beginningOf(part.name + part.arguments)
    default:
      return part.type
  }
}

function beginningOf(text: string): string {
  return text.length <= tellingLength ? text : `${text.slice(0, tellingLength)} ${text.length}`
}
