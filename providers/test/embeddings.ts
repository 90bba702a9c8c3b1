import { gatewayError, type GenerateRequest, type JsonObject, type StreamEvent } from '@hadrian/core/provider'

import { prompts } from './text.ts'

/** Length of a vector where the client names none. */
const defaultDimensions = 64
const maxDimensions = 4096

/** The answer to an embeddings request: one vector for each input. Texts with common words have similar vectors. */
export function embeddingEvents(request: GenerateRequest): readonly StreamEvent[] {
  const dimensions = request.extra['dimensions'] ?? defaultDimensions
  if (typeof dimensions !== 'number' || !(dimensions >= 1 && dimensions <= maxDimensions)) {
    throw gatewayError('invalid_request_error', `dimensions must be from 1 to ${maxDimensions}`, {
      param: 'dimensions',
    })
  }
  const isBase64 = request.extra['encoding_format'] === 'base64'
  const data = prompts(request).map((text, index): JsonObject => {
    const vector = embed(text, Math.floor(dimensions))
    return { object: 'embedding', index, embedding: isBase64 ? base64(vector) : vector }
  })
  return [{ type: 'part', part: { type: 'native', dialect: 'embeddings', value: { object: 'list', data } } }]
}

/** The sum of one pseudo-random vector for each word, scaled to length 1. */
function embed(text: string, dimensions: number): readonly number[] {
  const sum = Array.from({ length: dimensions }, () => 0)
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [text]) {
    const next = generator(hash(word))
    for (let index = 0; index < dimensions; index++) sum[index]! += next()
  }
  const length = Math.hypot(...sum) || 1
  return sum.map((value) => value / length)
}

/** FNV-1a over UTF-16 code units. */
function hash(text: string): number {
  let state = 0x811c9dc5
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193)
  return state >>> 0
}

/** Mulberry32: numbers from -1 to 1, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1
  }
}

/** 32-bit floats, little-endian, as OpenAI's SDKs ask for them. */
function base64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4)
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4))
  return bytes.toString('base64')
}
