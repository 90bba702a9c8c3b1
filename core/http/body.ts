import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { JsonObject } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'

/** A JSON body with the bytes it was read from. */
export interface ParsedBody {
  readonly bytes: Buffer
  readonly value: unknown
}

/** No request of any client nests this deep; the engine's own recursion ends at a few thousand. */
const deepest = 200
/** Above this, finding the exact place of a syntax error costs more than it is worth. */
const locateLimit = 1024 * 1024

/**
 * Reads a JSON body, bounded.
 *
 * @throws GatewayError `unsupported_media_type`, `request_too_large`, `invalid_json`, `invalid_request_error` (too deep),
 *   `request_cancelled`
 */
export async function readJsonBody(request: IncomingMessage, limitBytes: number): Promise<ParsedBody> {
  const { 'content-type': type, 'content-encoding': encoding } = request.headers
  const media = type?.split(';', 1)[0]?.trim().toLowerCase()
  if (media !== 'application/json' && !media?.endsWith('+json')) {
    if (request.headers['content-length'] === '0' || (media === undefined && !hasBody(request)))
      return { bytes: Buffer.alloc(0), value: {} }
    throw gatewayError('unsupported_media_type', `The body must be application/json, not ${media ?? 'undeclared'}`)
  }
  if (encoding !== undefined && encoding !== 'identity')
    throw gatewayError('unsupported_media_type', 'The body must not have a content encoding')
  const bytes = await readBytes(request, limitBytes)
  return { bytes, value: bytes.length === 0 ? {} : parseJson(bytes) }
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || request.headers['content-length'] !== undefined
}

function readBytes(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const tooLarge = (): Error =>
    gatewayError('request_too_large', `The body is larger than ${limitBytes} bytes`, {
      details: { limit_bytes: limitBytes },
      // The rest of the body is not worth reading, so the connection cannot be used again.
      headers: { connection: 'close' },
    })
  return new Promise((resolve, reject) => {
    if (Number(request.headers['content-length'] ?? 0) > limitBytes) {
      reject(tooLarge())
      return
    }
    const pieces: Buffer[] = []
    let length = 0
    request.on('data', (piece: Buffer) => {
      length += piece.length
      if (length > limitBytes) {
        request.removeAllListeners('data')
        request.pause()
        reject(tooLarge())
      } else pieces.push(piece)
    })
    request.on('end', () => resolve(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length)))
    const left = (cause?: Error): void =>
      reject(gatewayError('request_cancelled', 'The client went away', cause && { cause }))
    request.on('error', left)
    request.on('close', () => {
      if (!request.complete) left()
    })
  })
}

/**
 * Parses JSON that a client sent.
 *
 * @throws GatewayError `invalid_json` with `details.position`, or `invalid_request_error` for absurd nesting
 */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw gatewayError('invalid_json', 'The body is not valid UTF-8', { details: { position: null } })
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const position = positionOf(error as Error, text)
    throw gatewayError(
      'invalid_json',
      `The body is not valid JSON${position === null ? '' : ` (at position ${position})`}`,
      {
        details: { position },
      },
    )
  }
  if (isDeeperThan(value, deepest))
    throw gatewayError('invalid_request_error', `The body nests deeper than ${deepest} levels`, {
      details: { errors: [{ path: '', message: `nests deeper than ${deepest} levels` }] },
    })
  return value
}

/** Where a syntax error is. The engine says so for most; for the others, the longest beginning that could still become JSON tells. */
function positionOf(error: Error, text: string): number | null {
  const said = /at position (\d+)/.exec(error.message)
  if (said) return Number(said[1])
  if (error.message.startsWith('Unexpected end')) return text.length
  if (text.length > locateLimit) return null
  let good = 0
  let bad = text.length
  while (good + 1 < bad) {
    const middle = (good + bad) >> 1
    if (couldContinue(text.slice(0, middle))) good = middle
    else bad = middle
  }
  return good
}

function couldContinue(beginning: string): boolean {
  try {
    JSON.parse(beginning)
    return true
  } catch (error) {
    const { message } = error as Error
    const said = /at position (\d+)/.exec(message)
    return (
      message.startsWith('Unexpected end') ||
      message.startsWith('Unterminated') ||
      Number(said?.[1]) >= beginning.length
    )
  }
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  // Not `for in`: optimised code for it is thrown away with every new shape of object, and each body brings some.
  const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
  for (const member of members) if (typeof member === 'object' && isDeeperThan(member, levels - 1)) return true
  return false
}

/** A body that must be an object. */
export function asObject(value: unknown): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  throw gatewayError('invalid_request_error', 'The body must be a JSON object', {
    details: { errors: [{ path: '', message: 'must be an object' }] },
  })
}
