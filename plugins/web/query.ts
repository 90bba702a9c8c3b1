import type { GenerateRequest } from '@hadrian/core/plugin'

/** Longest query in characters: what Tavily and Brave take. */
const longestQuery = 400
/** Characters of the message that are looked at, so that a book pasted into it costs nothing. */
const longestLook = 4000

/** Where in the conversation the results go: before this message. -1 if no user speaks in it. */
export function lastUserMessage({ messages }: GenerateRequest): number {
  return messages.findLastIndex(({ role }) => role === 'user')
}

/** What to search for: the text of the last user message, on one line, bounded. Undefined if it has none. */
export function queryOf(request: GenerateRequest): string | undefined {
  const message = request.messages[lastUserMessage(request)]
  if (!message) return undefined
  const texts = message.content.map((part) => (part.type === 'text' ? part.text.slice(0, longestLook) : ''))
  const line = texts
    .join(' ')
    .slice(0, longestLook)
    .replaceAll(/[\p{Cc}\p{Cs}\s]+/gu, ' ')
    .trim()
  return line === '' ? undefined : cut(line, longestQuery)
}

/** The first characters, up to the end of a word where there is one near. */
function cut(line: string, length: number): string {
  if (line.length <= length) return line
  const head = line.slice(0, length + 1)
  const end = head.lastIndexOf(' ')
  if (end > length / 2) return head.slice(0, end)
  // A character outside the basic plane is two units, of which one alone is none.
  return line.slice(0, length).replace(/[\uD800-\uDBFF]$/, '')
}
