import type { GenerateRequest, MediaPart, Part } from '../contract/canonical.ts'
import { promptTexts } from './texts.ts'

/** What English text has to a token; scripts with two or three bytes to a character have about one and a half characters. */
const bytesPerToken = 4
/** A whole screenshot: 765 tokens for gpt-4o, 1,600 for Claude. */
const imageTokens = 1000
/** Base64 of uncompressed speech has 64,000 characters a second, of MP3 some 10,000; models count 10 to 32 tokens. */
const soundCharactersPerToken = 1000
/** A page of a PDF: some 50,000 characters of base64, and 1,500 to 3,000 tokens. */
const fileCharactersPerToken = 25
/** Media that the gateway has not seen. */
const unseenTokens = 1000
/** Fields of the passthrough operations that may hold token ids in place of text. */
const tokenFields = ['input', 'prompt']

/**
 * About how many input tokens a request has. Where a provider gives no count, this is what is charged: so all that costs
 * something is in it, not text alone.
 */
export function estimateInputTokens(request: GenerateRequest): number {
  let tokens = estimateTextTokens(promptTexts(request))
  for (const { content } of request.messages) tokens += ofMedia(content)
  if (request.operation !== 'generate') for (const field of tokenFields) tokens += tokenIds(request.extra[field])
  return tokens
}

/** About how many tokens the bytes of texts are. */
export function tokensOfBytes(bytes: number): number {
  return Math.ceil(bytes / bytesPerToken)
}

function estimateTextTokens(texts: readonly string[]): number {
  let bytes = 0
  for (const text of texts) bytes += Buffer.byteLength(text)
  return tokensOfBytes(bytes)
}

function ofMedia(parts: readonly Part[]): number {
  let tokens = 0
  for (const part of parts) {
    if (part.type === 'media') tokens += ofOne(part)
    else if (part.type === 'tool_result') tokens += ofMedia(part.content)
  }
  return tokens
}

function ofOne({ kind, data }: MediaPart): number {
  if (kind === 'image') return imageTokens
  if (data === undefined) return unseenTokens
  return Math.ceil(data.length / (kind === 'file' ? fileCharactersPerToken : soundCharactersPerToken))
}

function tokenIds(value: unknown): number {
  if (!Array.isArray(value)) return 0
  let count = 0
  for (const entry of value as readonly unknown[])
    if (typeof entry === 'number') count++
    else if (Array.isArray(entry)) count += entry.length
  return count
}
