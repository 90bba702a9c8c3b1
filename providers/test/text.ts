import type { GenerateRequest, Message, Part } from '@hadrian/core/provider'

/** Characters that count as one token. */
const charactersPerToken = 4

/** Tokens of so many UTF-16 code units: as if every four were one. */
export function tokensOf(characters: number): number {
  return Math.ceil(characters / charactersPerToken)
}

/** UTF-16 code units that fit into so many tokens. */
export function charactersOf(tokens: number): number {
  return tokens * charactersPerToken
}

/** Cuts text into words, each with the white space after it, so that the pieces join to the whole. */
export function words(text: string): readonly string[] {
  return text.match(/\s*\S+\s*|\s+/g) ?? []
}

/** The text of a message, without its other parts. */
export function textOf(message: Message | undefined): string {
  return (message?.content ?? []).map(partText).filter(Boolean).join(' ')
}

/** UTF-16 code units of everything the client sent as prompt. */
export function promptLength(request: GenerateRequest): number {
  const own = request.messages.flatMap((message) => message.content).reduce((sum, part) => sum + partLength(part), 0)
  return own + prompts(request).reduce((sum, prompt) => sum + prompt.length, 0)
}

/** Prompts or inputs of the operations without messages. Lists of tokens are written out as numbers. */
export function prompts(request: GenerateRequest): readonly string[] {
  if (request.operation === 'generate') return []
  const given = request.extra[request.operation === 'completions' ? 'prompt' : 'input']
  if (Array.isArray(given) && given.every((entry) => typeof entry === 'number')) return [given.join(' ')]
  const list: readonly unknown[] = Array.isArray(given) ? given : [given ?? '']
  return list.map((entry) => (typeof entry === 'string' ? entry : [entry].flat().join(' ')))
}

function partText(part: Part): string {
  if (part.type === 'text') return part.text
  if (part.type === 'tool_result') return part.content.map(partText).filter(Boolean).join(' ')
  return ''
}

function partLength(part: Part): number {
  if (part.type === 'tool_call') return part.name.length + part.arguments.length
  if (part.type === 'reasoning') return (part.text ?? part.summary ?? '').length
  return partText(part).length
}
