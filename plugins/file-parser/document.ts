import type { JsonObject, MediaPart, Part } from '@hadrian/core/plugin'

/** What a file says, as its annotation on the wire has it. */
export type DocumentContent = readonly DocumentPiece[]

export type DocumentPiece =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } }

/** A file that was read. */
export interface ParsedFile {
  /** SHA-256 of its bytes in hexadecimal. */
  readonly hash: string
  readonly name?: string | undefined
  readonly content: DocumentContent
}

/** Pictures of documents that are sent on with one request. */
export const mostImages = 8

/** Characters of all texts together. */
export function charactersOf(content: DocumentContent): number {
  let characters = 0
  for (const piece of content) if (piece.type === 'text') characters += piece.text.length
  return characters
}

/** Pictures among the pieces. */
export function imagesOf(content: DocumentContent): number {
  return content.filter(({ type }) => type === 'image_url').length
}

const longestName = 256

/** The name of a file as it may stand in the mark around its text. */
function attribute(name: string): string {
  return (
    name
      .slice(0, longestName)
      // A line end would let a name write a line of the prompt.
      .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
      .replaceAll('&', '&amp;')
      .replaceAll('"', '&quot;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
  )
}

/** A document must not end its own mark, nor begin that of another. */
function enclosed(text: string): string {
  return text.replaceAll(/<(\/?\s*file\b)/gi, '&lt;$1')
}

/**
 * The parts that stand in place of a file: its text between `<file name="...">` and `</file>`, with at most this many of
 * its pictures where they belong. The last part has the file's prompt-cache mark.
 */
export function documentParts(
  content: DocumentContent,
  {
    name,
    images,
    cacheControl,
  }: { readonly name: string; readonly images: number; readonly cacheControl?: JsonObject | undefined },
): readonly Part[] {
  const parts: Part[] = []
  let text = `<file name="${attribute(name)}">\n`
  let left = images
  for (const piece of content) {
    if (piece.type === 'text') {
      text += enclosed(piece.text)
      continue
    }
    const picture = left > 0 ? imagePart(piece.image_url.url) : undefined
    if (!picture) continue
    left--
    if (text !== '') parts.push({ type: 'text', text })
    parts.push(picture)
    text = ''
  }
  parts.push({ type: 'text', text: `${text}\n</file>`, ...(cacheControl && { cacheControl }) })
  return parts
}

const imageData = /^data:(image\/[\w.+-]{1,64});base64,([A-Za-z0-9+/_=-]+)$/

function imagePart(url: string): MediaPart | undefined {
  if (/^https?:\/\//i.test(url)) return { type: 'media', kind: 'image', url }
  const [, mediaType, data] = imageData.exec(url) ?? []
  return data === undefined ? undefined : { type: 'media', kind: 'image', mediaType, data }
}
