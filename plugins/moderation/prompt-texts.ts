import type { Exchange, GenerateRequest, MediaPart, Part } from '@hadrian/core/plugin'
import { readEscapes } from './json-text.ts'

/** The message, tool or field that a string of a request belongs to. */
const place = /^(?:messages|tools)\[\d+\]|^[^.[]+/

/** Every text of a request that a model would read. `joined`: those of one message, tool or field as one. */
export function promptTexts(exchange: Exchange, joined: boolean): readonly string[] {
  const texts: string[] = []
  let last: string | undefined
  exchange.texts().replace((text, path) => {
    const shown = path.endsWith('arguments') ? readEscapes(text).text : text
    const group = joined ? place.exec(path)?.[0] : undefined
    if (group !== undefined && group === last) texts[texts.length - 1] += `\n${shown}`
    else texts.push(shown)
    last = group
    return text
  })
  return texts
}

/** Every image of a request, those in results of tools too. */
export function promptImages(request: GenerateRequest): readonly MediaPart[] {
  const images: MediaPart[] = []
  for (const { content } of request.messages) collect(content, images)
  return images
}

function collect(parts: readonly Part[], images: MediaPart[]): void {
  for (const part of parts) {
    if (part.type === 'media' && part.kind === 'image') images.push(part)
    if (part.type === 'tool_result') collect(part.content, images)
  }
}
