/** What the SSRF-safe client is asked for, checked: URL, headers, and where a redirect leads. */

import { gatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'

/** One request to one URL. */
export interface FetchCall {
  readonly url: URL
  readonly method: 'GET' | 'POST'
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | undefined
}

/** A 3xx answer that names another place. */
export interface Redirect {
  readonly status: number
  readonly location: string
}

/** Longest URL that is looked at, in characters; far above what servers accept. */
const longestUrl = 16_384

/** Headers that frame the message or name the host: a caller who could set them could smuggle a second request. */
const framingHeaders = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'accept-encoding',
  'expect',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
])

/** Headers that may follow a redirect to another origin; any other could carry a secret. */
const harmlessHeaders = new Set(['accept', 'accept-language', 'user-agent'])

/** A 400 for a URL that is refused or of no use. The cause goes to the log only. */
export function unusable(message: string, cause?: unknown): GatewayError {
  return gatewayError('invalid_request_error', message, { cause })
}

/** Parses a URL from a request. Throws unless it is plain http or https without credentials. */
export function parseTarget(text: string): URL {
  // The URL parser drops tabs and line ends, so that a check made on the text and one on the URL could disagree.
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (text.length > longestUrl || /[\u0000-\u0020\u007f]/.test(text)) throw unusable('The URL is not valid')
  const url = URL.parse(text)
  if (url === null || url.hostname === '') throw unusable('The URL is not valid')
  return checkScheme(url)
}

function checkScheme(url: URL): URL {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw unusable('The URL must begin with http: or https:')
  if (url.username !== '' || url.password !== '') throw unusable('The URL must not contain credentials')
  return url
}

/** The headers with names in lower case. Throws for one that cannot be sent or that the client sets itself. */
export function checkHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => {
      const lower = name.toLowerCase()
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      const isSendable = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value)
      if (!isSendable || framingHeaders.has(lower)) throw unusable('A header of the request to the URL is not allowed')
      return [lower, value]
    }),
  )
}

/** The request that follows a redirect, as browsers do it. Throws for a place that {@link parseTarget} would refuse. */
export function redirectOf(call: FetchCall, { status, location }: Redirect): FetchCall {
  const resolved = URL.parse(location, call.url)
  if (resolved === null) throw unusable('The URL redirects to a place that is not valid')
  const url = parseTarget(resolved.href)
  url.hash = ''
  const leaves = url.origin !== call.url.origin
  const becomesGet = call.method === 'POST' && (status === 301 || status === 302 || status === 303)
  if (leaves && !becomesGet && call.body !== undefined) throw unusable('The URL redirects a body to another host')
  const headers = Object.entries(call.headers).filter(
    ([name]) => (!leaves || harmlessHeaders.has(name)) && !(becomesGet && name.startsWith('content-')),
  )
  return {
    url,
    method: becomesGet ? 'GET' : call.method,
    headers: Object.fromEntries(headers),
    body: becomesGet ? undefined : call.body,
  }
}
