/** JSON changed in its own bytes: only where the change is certain to be what `JSON.parse` would see. */

import type { JsonObject } from '../contract/canonical.ts'

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a
const openBrace = 0x7b
const closeBrace = 0x7d

/**
 * Replaces or adds top-level fields in the bytes themselves, where that is certain to be what `JSON.parse` sees: a replaced
 * key must occur exactly once in the whole text and no key may be written with escapes; an added key must be absent.
 * Undefined where it is not certain.
 */
export function spliceFields(bytes: Uint8Array, body: JsonObject, set: JsonObject): Uint8Array | undefined {
  let text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // `\u00` is how a letter of a key could hide from a search for the key.
  if (text.includes('\\u00')) return undefined
  for (const [name, value] of Object.entries(set)) {
    const spliced = Object.hasOwn(body, name) ? replaceField(text, name, value) : addField(text, name, value)
    if (!spliced) return undefined
    text = spliced
  }
  return text
}

function replaceField(text: Buffer, name: string, value: unknown): Buffer | undefined {
  const key = `"${name}"`
  const at = text.indexOf(key)
  if (at === -1 || text.includes(key, at + 1)) return undefined
  let start = skipSpace(text, at + key.length)
  if (text[start] !== colon) return undefined
  start = skipSpace(text, start + 1)
  // Only strings are replaced in place: their end is found without parsing.
  if (text[start] !== quote) return undefined
  const end = endOfString(text, start)
  if (end === -1) return undefined
  return Buffer.concat([text.subarray(0, start), Buffer.from(JSON.stringify(value)), text.subarray(end)])
}

function addField(text: Buffer, name: string, value: unknown): Buffer | undefined {
  const end = skipSpaceBack(text, text.length - 1)
  if (text[end] !== closeBrace) return undefined
  const comma = text[skipSpaceBack(text, end - 1)] === openBrace ? '' : ','
  return Buffer.concat([
    text.subarray(0, end),
    Buffer.from(`${comma}${JSON.stringify(name)}:${JSON.stringify(value)}`),
    text.subarray(end),
  ])
}

/**
 * Puts another object in the place of the one under a key, anywhere in the text. Undefined unless the place is certain:
 * the key occurs once in the whole text, and the value there, read as JSON, is `expected`.
 */
export function replaceObject(text: Buffer, name: string, expected: unknown, value: JsonObject): Buffer | undefined {
  const key = `"${name}"`
  const at = text.indexOf(key)
  if (at === -1 || text.includes(key, at + 1)) return undefined
  let start = skipSpace(text, at + key.length)
  if (text[start] !== colon) return undefined
  start = skipSpace(text, start + 1)
  if (text[start] !== openBrace) return undefined
  const end = endOfObject(text, start)
  if (end === -1) return undefined
  try {
    if (JSON.stringify(JSON.parse(text.toString('utf8', start, end))) !== JSON.stringify(expected)) return undefined
  } catch {
    return undefined
  }
  return Buffer.concat([text.subarray(0, start), Buffer.from(JSON.stringify(value)), text.subarray(end)])
}

/** The index after the closing quote of the string that starts at `start`; -1 if there is none. */
function endOfString(text: Buffer, start: number): number {
  for (let at = text.indexOf(quote, start + 1); at !== -1; at = text.indexOf(quote, at + 1)) {
    let backslashes = 0
    while (text[at - 1 - backslashes] === backslash) backslashes++
    if (backslashes % 2 === 0) return at + 1
  }
  return -1
}

/** The index after the brace that closes the object starting at `start`; -1 if there is none. */
function endOfObject(text: Buffer, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const byte = text[at]
    if (byte === quote) {
      at = endOfString(text, at) - 1
      if (at < 0) return -1
    } else if (byte === openBrace) depth++
    else if (byte === closeBrace && --depth === 0) return at + 1
  }
  return -1
}

function skipSpace(text: Buffer, from: number): number {
  let at = from
  while (at < text.length && isSpace(text[at]!)) at++
  return at
}

function skipSpaceBack(text: Buffer, from: number): number {
  let at = from
  while (at >= 0 && isSpace(text[at]!)) at--
  return at
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
