import type { GenerateRequest, MediaPart, Message, Part } from '@hadrian/core/plugin'

/** A file of a request that can be read here: one whose bytes are there or at a URL. */
export interface FilePart {
  readonly part: MediaPart
  /** JSON path in the client's body. */
  readonly path: string
}

/** Whether a part is a file whose bytes are there or at a URL; one that was uploaded to a provider is the provider's. */
export function isReadableFile(part: Part): part is MediaPart {
  return part.type === 'media' && part.kind === 'file' && (part.data !== undefined || part.url !== undefined)
}

/** Whether a request has such a file. Allocates nothing: every request is asked. */
export function hasFiles({ messages }: GenerateRequest): boolean {
  for (const { content } of messages) if (contentHasFiles(content)) return true
  return false
}

function contentHasFiles(content: readonly Part[]): boolean {
  for (const part of content)
    if (isReadableFile(part) || (part.type === 'tool_result' && contentHasFiles(part.content))) return true
  return false
}

/** All such files of a request, in order, those of earlier turns and of tool results too. */
export function filesOf(request: GenerateRequest): readonly FilePart[] {
  const found: FilePart[] = []
  for (const [index, message] of request.messages.entries()) {
    const path = pathOf(request, index)
    for (const [position, part] of message.content.entries())
      if (isReadableFile(part)) found.push({ part, path: `${path}.content[${position}]` })
      else if (part.type === 'tool_result')
        for (const [place, inner] of part.content.entries())
          if (isReadableFile(inner))
            found.push({ part: inner, path: `${path}.${request.dialect === 'chat' ? 'content' : 'output'}[${place}]` })
  }
  return found
}

/** The request with each of these parts replaced by others, in its place. */
export function withParts(request: GenerateRequest, replacements: ReadonlyMap<Part, readonly Part[]>): GenerateRequest {
  const replaced = (parts: readonly Part[]): readonly Part[] =>
    contentHasFiles(parts)
      ? parts.flatMap(
          (part) =>
            replacements.get(part) ??
            (part.type === 'tool_result' ? { ...part, content: replaced(part.content) } : part),
        )
      : parts
  const messages = request.messages.map((message): Message => {
    const content = replaced(message.content)
    return content === message.content ? message : { ...message, content }
  })
  return { ...request, messages }
}

/** Each item of `input` is one message, but for `instructions`, which stand in front of them. */
function pathOf({ dialect, messages }: GenerateRequest, index: number): string {
  if (dialect === 'chat') return `messages[${index}]`
  return `input[${messages[0]?.form === 'instructions' ? index - 1 : index}]`
}
