import { gatewayError, isGatewayError } from '@hadrian/core/plugin'
import type { FetchedResource, SafeFetch } from '@hadrian/core/plugin'
import { passes } from './domain-filter.ts'
import type { DomainFilter } from './domain-filter.ts'
import type { Engine, FoundPage, SearchQuery } from './engine.ts'

/** A page that was found, checked and cut to size. */
export interface SearchResult {
  /** http or https, as the engine wrote it. */
  readonly url: string
  readonly title: string
  readonly snippet: string
}

/** Largest answer of an engine in bytes. */
const limitBytes = 2 * 1024 * 1024
/** Longest parts of a result in characters. A longer URL drops it. */
const longestUrl = 2000
const longestTitle = 200
const longestSnippet = 1000

/**
 * Asks an engine. Nothing that it found is fetched.
 *
 * @throws GatewayError `provider_error` or `provider_timeout` that names the engine; the reason of `signal`
 */
export async function search(
  engine: Engine,
  query: SearchQuery,
  { fetch, signal }: { readonly fetch: SafeFetch; readonly signal: AbortSignal },
): Promise<readonly SearchResult[]> {
  const { path, request } = engine.encode(query)
  let answer: FetchedResource
  try {
    answer = await fetch(engine.baseUrl + path, {
      ...request,
      timeoutMs: engine.timeoutMs,
      limitBytes,
      trusted: true,
      signal,
    })
  } catch (error) {
    signal.throwIfAborted()
    throw blamed(engine, error)
  }
  const { status, body } = answer
  if (status < 200 || status > 299) throw failed(engine, `it answered with status ${status}`, status)
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch (error) {
    throw failed(engine, 'its answer is no JSON', status, error)
  }
  return resultsOf(engine.decode(parsed), query.domains, query.maxResults)
}

/** The pages that may be shown, each once. */
export function resultsOf(pages: readonly FoundPage[], domains: DomainFilter, most: number): SearchResult[] {
  const results = new Map<string, SearchResult>()
  for (const { url, title, snippets } of pages) {
    if (results.size === most) break
    if (typeof url !== 'string' || url.length > longestUrl || /[\s<>"\p{Cc}\p{Cf}\p{Cs}]/u.test(url)) continue
    const place = URL.parse(url)
    if (place === null || !/^https?:\/\//i.test(url) || !passes(domains, place) || results.has(url)) continue
    results.set(url, {
      url,
      title: lineOf([title], longestTitle) || place.hostname,
      snippet: lineOf(snippets, longestSnippet),
    })
  }
  return [...results.values()]
}

/**
 * Texts of a stranger on one line. Control characters are left out, and so are those that nobody sees: words for the
 * model alone can hide in them.
 */
function lineOf(texts: readonly unknown[], length: number): string {
  let line = ''
  for (const text of texts) {
    if (line.length >= length) break
    if (typeof text !== 'string') continue
    const clean = text
      .slice(0, length * 4)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .replaceAll(/[\p{Cf}\p{Cs}\p{Co}\u{FE00}-\u{FE0F}\u{E0000}-\u{E0FFF}]/gu, '')
      .trim()
    if (clean !== '') line += line === '' ? clean : ` … ${clean}`
  }
  return line.length > length ? `${line.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, '')}…` : line
}

function blamed(engine: Engine, error: unknown): Error {
  const { code } = isGatewayError(error) ? error : { code: '' }
  if (code === 'shutting_down') return error as Error
  if (code !== 'provider_timeout') return failed(engine, 'it could not be asked', undefined, error)
  return gatewayError(
    'provider_timeout',
    `The search engine ${engine.name} did not answer within ${engine.timeoutMs} ms`,
    {
      cause: error,
      details: { provider: engine.name, timeout: `plugins.web.${engine.name}.timeout_ms` },
    },
  )
}

function failed({ name }: Engine, why: string, status?: number, cause?: unknown): Error {
  return gatewayError('provider_error', `The search engine ${name} failed: ${why}`, {
    cause,
    details: { provider: name, ...(status !== undefined && { upstream_status: status }) },
  })
}
