/** One request and answer of the SSRF-safe client: a fresh connection to a given address, and a body within its limits. */

import { connect as connectPlain } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectSecure } from 'node:tls'
import { Client } from 'undici'
import type { buildConnector, Dispatcher } from 'undici'
import type { FetchedResource } from '../contract/plugin.ts'
import { literalAddress } from './address.ts'
import { unusable } from './fetch-request.ts'
import type { FetchCall, Redirect } from './fetch-request.ts'

/** What an answer must keep to. */
export interface FetchLimits {
  /** Largest body in bytes. */
  readonly limitBytes: number
  /** Media types, `image/*` or exact; undefined for any. */
  readonly accept: readonly string[] | undefined
}

/** Largest header block of an answer in bytes. */
const headerLimitBytes = 32 * 1024

/**
 * Sends the request to the first of the addresses that takes the connection. No name is resolved here. The connection is
 * closed afterwards: nobody else's request may find it open.
 */
export async function fetchOnce(
  call: FetchCall,
  addresses: readonly string[],
  limits: FetchLimits,
  signal: AbortSignal,
): Promise<FetchedResource | Redirect> {
  const client = new Client(call.url.origin, {
    connect: connectTo(addresses, call.url.hostname, signal),
    pipelining: 1,
    allowH2: false,
    maxHeaderSize: headerLimitBytes,
    // The caller's signal carries the one deadline there is.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  try {
    const answer = await client.request({
      path: call.url.pathname + call.url.search,
      method: call.method,
      headers: { accept: '*/*', ...call.headers, 'accept-encoding': 'identity' },
      body: call.body ?? null,
      signal,
    })
    return await read(answer, call, limits)
  } finally {
    // Not awaited: a destroyed client only waits for its socket to close.
    client.destroy().catch(() => undefined)
  }
}

async function read(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  call: FetchCall,
  { limitBytes, accept }: FetchLimits,
): Promise<FetchedResource | Redirect> {
  // A body that is left unread fails when its connection goes, and nobody listens.
  body.on('error', () => undefined)
  const flat = flatten(headers)
  const location = flat['location']
  if (location !== undefined && [301, 302, 303, 307, 308].includes(statusCode)) return { status: statusCode, location }
  const encoding = flat['content-encoding']?.trim().toLowerCase() ?? ''
  if (encoding !== '' && encoding !== 'identity')
    throw unusable('The URL sent a compressed body that was not asked for')
  if (statusCode >= 200 && statusCode < 300) checkType(flat['content-type'] ?? '', accept)
  if (Number(flat['content-length'] ?? 0) > limitBytes) throw tooLarge(limitBytes)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    if (size > limitBytes) throw tooLarge(limitBytes)
    chunks.push(chunk)
  }
  return { status: statusCode, headers: flat, body: Buffer.concat(chunks, size), url: call.url.href }
}

function flatten(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  const entries = Object.entries(headers).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), [value].flat().join(', ')]))
}

function checkType(contentType: string, accept: readonly string[] | undefined): void {
  if (accept === undefined) return
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase()
  const isAccepted = accept.some((entry) => {
    const wanted = entry.toLowerCase()
    return wanted === '*/*' || (wanted.endsWith('/*') ? type.startsWith(wanted.slice(0, -1)) : type === wanted)
  })
  if (!isAccepted) throw unusable(`The URL is not of an accepted type: ${accept.join(', ')}`)
}

function tooLarge(limitBytes: number): Error {
  return unusable(`The URL has more than ${limitBytes} bytes`)
}

function connectTo(addresses: readonly string[], hostname: string, signal: AbortSignal): buildConnector.connector {
  return ({ protocol, port }, callback) => {
    const dial = (index: number) => {
      const secure = protocol === 'https:'
      const where = { host: addresses[index]!, port: Number(port) || (secure ? 443 : 80) }
      // An address as name would be sent to the server, which TLS forbids; its certificate is checked against `host`.
      const servername = literalAddress(hostname) === undefined ? hostname.replace(/\.$/, '') : ''
      const socket: Socket = secure
        ? connectSecure({ ...where, servername, ALPNProtocols: ['http/1.1'] })
        : connectPlain({ ...where, autoSelectFamily: false })
      const destroy = () => socket.destroy(signal.reason as Error)
      if (signal.aborted) destroy()
      signal.addEventListener('abort', destroy, { once: true })
      socket.once('close', () => signal.removeEventListener('abort', destroy))
      const onFailure = (error: Error) => {
        if (index + 1 < addresses.length && !signal.aborted) dial(index + 1)
        else callback(error, null)
      }
      // The second listener stays: an error after the client has let go of the socket concerns nobody.
      socket.once('error', onFailure).on('error', () => undefined)
      socket.setNoDelay(true)
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        socket.off('error', onFailure)
        callback(null, socket)
      })
    }
    dial(0)
  }
}
