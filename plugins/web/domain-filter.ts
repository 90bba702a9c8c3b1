import { invalidRequest } from '@hadrian/core/plugin'
import type { RequestMistake } from '@hadrian/core/plugin'

/** One domain as a client writes it. */
export interface DomainPattern {
  /** As it was written, in lower case. */
  readonly text: string
  /** Without the wildcard and the path. */
  readonly host: string
  /** `*.example.com`: its subdomains, and not itself. */
  readonly onlySubdomains: boolean
  /** `/blog`, or empty. */
  readonly path: string
}

/** From where results may come. */
export interface DomainFilter {
  /** Empty: from everywhere. */
  readonly include: readonly DomainPattern[]
  readonly exclude: readonly DomainPattern[]
}

const shape = /^(\*\.)?((?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)+[a-z\d-]{2,63})(\/[^\s*?#]*)?$/

/** Characters of `site:` operators that a query may have; beyond, the results are filtered and nothing else. */
const longestOperators = 200

/**
 * Reads the domains of a request.
 *
 * @param path of the plugin's entry in the request
 * @throws GatewayError `invalid_request_error` naming every domain that is none
 */
export function readDomains(
  params: { readonly include_domains?: readonly string[]; readonly exclude_domains?: readonly string[] },
  path: string,
): DomainFilter {
  const { include_domains: include, exclude_domains: exclude } = params
  if (!include?.length && !exclude?.length) return everywhere
  const mistakes: RequestMistake[] = []
  const read = (domains: readonly string[] = [], field: string): DomainPattern[] =>
    domains.flatMap((domain, index) => {
      const text = domain.toLowerCase()
      const [, wildcard, host, rest = ''] = shape.exec(text) ?? []
      if (host !== undefined)
        return [{ text, host, onlySubdomains: wildcard !== undefined, path: rest.replace(/\/+$/, '') }]
      mistakes.push({
        path: `${path}.${field}[${index}]`,
        message: 'must be a domain, such as example.com, *.example.com or example.com/blog',
      })
      return []
    })
  const filter = { include: read(include, 'include_domains'), exclude: read(exclude, 'exclude_domains') }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return filter
}

const everywhere: DomainFilter = { include: [], exclude: [] }

/** True for a filter that lets everything through. */
export function isEmpty({ include, exclude }: DomainFilter): boolean {
  return include.length === 0 && exclude.length === 0
}

/** True if a page may be shown. */
export function passes({ include, exclude }: DomainFilter, url: URL): boolean {
  if (exclude.some((pattern) => covers(pattern, url))) return false
  return include.length === 0 || include.some((pattern) => covers(pattern, url))
}

function covers({ host, onlySubdomains, path }: DomainPattern, { hostname, pathname }: URL): boolean {
  const name = hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
  if (!name.endsWith(`.${host}`) && (onlySubdomains || name !== host)) return false
  if (path === '') return true
  const place = pathname.toLowerCase()
  return place === path || place.startsWith(`${path}/`)
}

/** The hosts of patterns, each once, for an engine that knows nothing else. They cover at least what the patterns do. */
export function hostsOf(patterns: readonly DomainPattern[]): readonly string[] {
  return [...new Set(patterns.map(({ host }) => host))]
}

/** The hosts of patterns that are nothing but a host: to exclude the others would exclude too much. */
export function wholeHostsOf(patterns: readonly DomainPattern[]): readonly string[] {
  return hostsOf(patterns.filter(({ onlySubdomains, path }) => !onlySubdomains && path === ''))
}

/** The filter in the operators that most engines know; none if they would fill the query. */
export function siteOperators({ include, exclude }: DomainFilter): readonly string[] {
  const wanted = [...new Set(include.map(({ host, path }) => `site:${host}${path}`))]
  const operators = [
    ...(wanted.length > 1 ? [`(${wanted.join(' OR ')})`] : wanted),
    ...wholeHostsOf(exclude).map((host) => `-site:${host}`),
  ]
  return operators.join(' ').length > longestOperators ? [] : operators
}
