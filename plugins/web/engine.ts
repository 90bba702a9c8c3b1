import type { FetchOptions } from '@hadrian/core/plugin'
import type { DomainFilter } from './domain-filter.ts'
import type { EngineName, Params } from './options.ts'

/** What is searched for. */
export interface SearchQuery {
  /** At most 400 characters, on one line. */
  readonly text: string
  readonly maxResults: number
  readonly domains: DomainFilter
  readonly mode: Params['mode']
}

/** A page that an engine found, as the engine says it: nothing of it is checked. */
export interface FoundPage {
  readonly url?: unknown
  readonly title?: unknown
  /** Pieces of its text. */
  readonly snippets: readonly unknown[]
}

/** One call of an engine's API. */
export interface EngineCall {
  /** Appended to the base URL. */
  readonly path: string
  readonly request: Pick<FetchOptions, 'method' | 'headers' | 'body'>
}

/** A search engine, configured: data and pure functions. */
export interface Engine {
  readonly name: EngineName
  /** No slash at the end. From the operator's config, hence trusted. */
  readonly baseUrl: string
  readonly timeoutMs: number
  /** Price of a search in micro-dollars. */
  costMicros(query: Pick<SearchQuery, 'maxResults' | 'mode'>): number
  encode(query: SearchQuery): EngineCall
  /** The pages of an answer, best first; empty for an answer of another shape. */
  decode(body: unknown): readonly FoundPage[]
}

/** Whole micro-dollars of a price in dollars. */
export function microsOf(dollars: number): number {
  return Math.round(dollars * 1_000_000)
}

/** The objects of a list at a place of an answer; none if there is no list. */
export function objectsAt(body: unknown, ...path: readonly string[]): readonly Readonly<Record<string, unknown>>[] {
  let value = body
  for (const name of path) value = isObject(value) ? value[name] : undefined
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** The value as a list: itself, or empty. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A call with a JSON body. */
export function postJson(path: string, headers: Readonly<Record<string, string>>, body: object): EngineCall {
  return {
    path,
    request: {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', ...headers },
      body: JSON.stringify(body),
    },
  }
}
