/** How a list recognises the name of a model. */
export type ModelMatch =
  | { readonly and: readonly ModelMatch[] }
  | { readonly or: readonly ModelMatch[] }
  | { readonly equals: string }
  | { readonly starts_with: string }
  | { readonly ends_with: string }
  | { readonly contains: string }
  | { readonly regex: string }

/** A model of a company, as far as its list tells. */
export interface ListedModel {
  readonly match: ModelMatch
  readonly name?: string
  readonly contextLength: number
}

/** The companies whose lists are wanted. */
export interface WantedLists {
  /** Base URLs by instance. */
  readonly baseUrls: Readonly<Record<string, string>>
  /** Ids of companies that the operator named, by instance. */
  readonly named: Readonly<Record<string, string>>
}

/** The lists that were wanted. */
export interface FoundLists {
  /** By id of the company. */
  readonly lists: Readonly<Record<string, readonly ListedModel[]>>
  /** Ids of companies by instance. An instance of none that is known is absent. */
  readonly byInstance: Readonly<Record<string, string>>
  /** Instances whose named company does not exist. */
  readonly unknown: readonly string[]
}

/** Google lists its models as `models/gemini-2.5-pro`, and takes that name too. */
const resourcePrefix = /^models\//
/** OpenRouter takes these after every model. */
const routingSuffix = /:(?:nitro|floor|online|exacto)$/

/** Finds a model by the name that requests have for it. */
export function findListed(list: readonly ListedModel[], model: string): ListedModel | undefined {
  const id = model.toLowerCase().trim()
  const bare = id.replace(resourcePrefix, '').replace(routingSuffix, '')
  return (
    list.find(({ match }) => matches(match, id)) ??
    (bare === id ? undefined : list.find(({ match }) => matches(match, bare)))
  )
}

function matches(match: ModelMatch, id: string): boolean {
  if ('or' in match) return match.or.some((each) => matches(each, id))
  if ('and' in match) return match.and.every((each) => matches(each, id))
  if ('equals' in match) return id === match.equals.toLowerCase()
  if ('starts_with' in match) return id.startsWith(match.starts_with.toLowerCase())
  if ('ends_with' in match) return id.endsWith(match.ends_with.toLowerCase())
  if ('contains' in match) return id.includes(match.contains.toLowerCase())
  return new RegExp(match.regex).test(id)
}
