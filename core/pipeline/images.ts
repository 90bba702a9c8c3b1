import type { GenerateRequest, Part } from '../contract/canonical.ts'

/** Images of a request, those in tool results too: what a price per image counts. */
export function imagesOf({ messages }: GenerateRequest): number {
  let images = 0
  for (const { content } of messages) images += imagesIn(content)
  return images
}

function imagesIn(parts: readonly Part[]): number {
  let images = 0
  for (const part of parts) {
    if (part.type === 'media' && part.kind === 'image') images++
    else if (part.type === 'tool_result') images += imagesIn(part.content)
  }
  return images
}
