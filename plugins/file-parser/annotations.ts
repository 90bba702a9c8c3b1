/** The annotations by which a client hands back what was read before, so that nothing is read or paid for twice. */

import type { GenerateRequest, JsonObject, Message, Part } from '@hadrian/core/plugin'
import type { DocumentContent, DocumentPiece, ParsedFile } from './document.ts'
import { charactersOf } from './document.ts'

/** Type of the output item that carries annotations in the Responses API, whose own annotations have no place for them. */
export const annotationItem = 'hadrian:file_annotations'

const mostPieces = 20_000
const hash = /^[0-9a-f]{64}$/

/** An annotation on the wire. */
export function annotationOf({ hash: sum, name, content }: ParsedFile): JsonObject {
  return { type: 'file', file: { hash: sum, ...(name !== undefined && { name }), content } }
}

/** Whether a request has annotations of files. Allocates nothing: every request is asked. */
export function hasFileAnnotations({ messages }: GenerateRequest): boolean {
  for (const message of messages) if (message.role === 'assistant' && carriesAnnotations(message)) return true
  return false
}

function carriesAnnotations({ content, extra }: Message): boolean {
  if (extra !== undefined && includesFile(extra['annotations'])) return true
  for (const part of content)
    if (part.type === 'native' ? isItem(part) : part.extra !== undefined && includesFile(part.extra['annotations']))
      return true
  return false
}

function includesFile(annotations: unknown): annotations is readonly unknown[] {
  return Array.isArray(annotations) && annotations.some(isFile)
}

function isFile(annotation: unknown): boolean {
  return isObject(annotation) && annotation['type'] === 'file'
}

function isItem(part: Part): boolean {
  return part.type === 'native' && part.value['type'] === annotationItem
}

/**
 * What annotations of the assistant's messages say of files, by hash. One that is no annotation of this plugin, or has
 * more text than that, is passed over. The client may have changed the text: it is the client's prompt anyway.
 */
export function knownFiles(request: GenerateRequest, mostCharacters: number): ReadonlyMap<string, DocumentContent> {
  const known = new Map<string, DocumentContent>()
  const read = (annotations: unknown): void => {
    for (const annotation of Array.isArray(annotations) ? (annotations as readonly unknown[]) : []) {
      const file: unknown = isFile(annotation) ? (annotation as JsonObject)['file'] : undefined
      if (!isObject(file) || typeof file['hash'] !== 'string' || !hash.test(file['hash'])) continue
      const content = contentOf(file['content'])
      if (content && charactersOf(content) <= mostCharacters) known.set(file['hash'], content)
    }
  }
  for (const { role, content, extra } of request.messages) {
    if (role !== 'assistant') continue
    read(extra?.['annotations'])
    for (const part of content)
      read(part.type === 'native' ? isItem(part) && part.value['annotations'] : part.extra?.['annotations'])
  }
  return known
}

function contentOf(value: unknown): DocumentContent | undefined {
  if (!Array.isArray(value) || value.length > mostPieces) return undefined
  const pieces = value.map(pieceOf)
  return pieces.every((piece) => piece !== undefined) ? pieces : undefined
}

function pieceOf(value: unknown): DocumentPiece | undefined {
  if (!isObject(value)) return undefined
  const { type, text, image_url: image } = value
  if (type === 'text' && typeof text === 'string') return { type, text }
  if (type !== 'image_url' || !isObject(image) || typeof image['url'] !== 'string') return undefined
  return { type, image_url: { url: image['url'] } }
}

/** The request without annotations of files, which mean nothing to an upstream and would cost tokens or an error there. */
export function withoutFileAnnotations(request: GenerateRequest): GenerateRequest {
  const messages = request.messages.flatMap((message): readonly Message[] => {
    if (message.role !== 'assistant' || !carriesAnnotations(message)) return [message]
    const content = message.content.filter((part) => !isItem(part)).map(withoutAnnotations)
    if (content.length === 0 && message.content.length > 0) return []
    return [{ ...withoutAnnotations(message), content }]
  })
  return { ...request, messages }
}

function withoutAnnotations<T extends { readonly extra?: JsonObject }>(owner: T): T {
  const annotations = owner.extra?.['annotations']
  if (!includesFile(annotations)) return owner
  const { extra, ...rest } = owner
  const { annotations: _, ...others } = extra!
  const kept = annotations.filter((annotation) => !isFile(annotation))
  const left = { ...others, ...(kept.length > 0 && { annotations: kept }) }
  return { ...rest, ...(Object.keys(left).length > 0 && { extra: left }) } as unknown as T
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
