import { gatewayError, invalidRequest, isGatewayError } from '@hadrian/core/plugin'
import type { GatewayError, MediaPart, SafeFetch } from '@hadrian/core/plugin'
import type { FileFacts } from './file-kind.ts'
import type { FilePart } from './file-parts.ts'

/** The bytes of a file, and what is said of them. */
export interface SourceFile extends FileFacts {
  readonly bytes: Uint8Array
}

/** What {@link loadFile} keeps to. */
export interface SourceLimits {
  readonly fetch: SafeFetch
  readonly limitBytes: number
  readonly timeoutMs: number
  /** Media types that a URL may have; absent for any. */
  readonly accept?: readonly string[]
  readonly signal: AbortSignal
}

/** The 400 for one file of a request. `path` is its JSON path; the message is read after it. */
export function invalidFile(path: string, message: string): GatewayError {
  return invalidRequest([{ path, message }])
}

/**
 * The bytes of a file, decoded or fetched.
 *
 * @throws GatewayError 400 with the path of the file where there are none, or too many
 */
export function loadFile({ part, path }: FilePart, limits: SourceLimits): SourceFile | Promise<SourceFile> {
  return part.data === undefined ? fetched(part, path, limits) : decoded(part, path, limits.limitBytes)
}

function decoded({ data = '', mediaType, filename }: MediaPart, path: string, limitBytes: number): SourceFile {
  if (Math.floor((data.length / 4) * 3) - 2 > limitBytes) throw tooLarge(path, limitBytes)
  const bytes = Buffer.from(data, 'base64')
  if (bytes.byteLength > limitBytes) throw tooLarge(path, limitBytes)
  if (bytes.byteLength === 0) throw invalidFile(path, 'is a file without bytes: file_data must be base64 or a data URL')
  return { bytes, mediaType, name: filename }
}

async function fetched(
  { url = '', mediaType, filename }: MediaPart,
  path: string,
  { fetch, ...limits }: SourceLimits,
): Promise<SourceFile> {
  try {
    const { status, headers, body } = await fetch(url, limits)
    if (status < 200 || status > 299) throw invalidFile(path, `is a file whose URL answered with ${status}`)
    if (body.byteLength === 0) throw invalidFile(path, 'is a file without bytes')
    return { bytes: body, mediaType: mediaType ?? headers['content-type'], name: filename ?? nameOf(url) }
  } catch (error) {
    limits.signal.throwIfAborted()
    if (!isGatewayError(error) || error.code !== 'invalid_request_error' || error.param !== undefined) throw error
    throw gatewayError('invalid_request_error', `${path}: ${error.message}`, {
      param: path,
      details: { errors: [{ path, message: error.message }] },
      cause: error.cause,
    })
  }
}

function nameOf(url: string): string | undefined {
  const last = URL.parse(url)?.pathname.split('/').at(-1)
  if (last === undefined || last === '') return undefined
  try {
    return decodeURIComponent(last)
  } catch {
    return last
  }
}

function tooLarge(path: string, limitBytes: number): GatewayError {
  return invalidFile(path, `is a file of more than ${limitBytes} bytes`)
}
