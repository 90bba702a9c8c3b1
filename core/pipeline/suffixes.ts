import type { Catalog, RoutingSuffix } from '../contract/plugin.ts'
import { gatewayError } from '../contract/errors.ts'

/** A model name taken apart. */
export interface SuffixedName {
  /** What is left without the suffixes. */
  readonly plain: string
  readonly suffix?: RoutingSuffix
  /** It had the suffix `:online`. */
  readonly online: boolean
}

const suffixes: ReadonlySet<string> = new Set<RoutingSuffix | 'online'>(['nitro', 'floor', 'exacto', 'online'])

/**
 * Takes the suffixes off a model name. Undefined if it has none, which costs next to nothing. A name that somebody gave
 * keeps what it ends in: `llama3:8b` is a name, and `odd:nitro` may be one.
 *
 * @throws GatewayError `invalid_request_error` for two suffixes that contradict each other
 */
export function withoutSuffixes(name: string, catalog: Pick<Catalog, 'isName'>): SuffixedName | undefined {
  let plain = name
  let suffix: RoutingSuffix | undefined
  let online = false
  for (let colon = plain.lastIndexOf(':'); colon > 0; colon = plain.lastIndexOf(':')) {
    const last = plain.slice(colon + 1)
    if (!suffixes.has(last) || catalog.isName?.(plain)) break
    plain = plain.slice(0, colon)
    if (last === 'online') online = true
    else if (suffix !== undefined && suffix !== last) throw contradiction(last, suffix)
    else suffix = last as RoutingSuffix
  }
  return plain === name ? undefined : { plain, online, ...(suffix !== undefined && { suffix }) }
}

function contradiction(first: string, second: string): Error {
  const message = `The suffixes ":${first}" and ":${second}" contradict each other`
  return gatewayError('invalid_request_error', message, {
    param: 'model',
    details: { errors: [{ path: 'model', message }] },
  })
}
