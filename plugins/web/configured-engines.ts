import { braveEngine } from './brave.ts'
import type { Engine } from './engine.ts'
import { exaEngine } from './exa.ts'
import { engineNames } from './options.ts'
import type { EngineName, Options } from './options.ts'
import { searxngEngine } from './searxng.ts'
import { tavilyEngine } from './tavily.ts'

/**
 * The engines that the operator configured, by name.
 *
 * @throws Error for a base URL that cannot be used
 */
export function configuredEngines({ exa, tavily, brave, searxng }: Options): ReadonlyMap<string, Engine> {
  const made = [
    exa && exaEngine(exa),
    tavily && tavilyEngine(tavily),
    brave && braveEngine(brave),
    searxng && searxngEngine(searxng),
  ]
  return new Map(made.flatMap((engine) => (engine ? [[engine.name, { ...engine, baseUrl: checkedBase(engine) }]] : [])))
}

/** The base URL without a slash at its end, checked for what would be lost or shown when a path is appended. */
function checkedBase({ name, baseUrl }: Engine): string {
  const url = URL.parse(baseUrl)
  if (url === null || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new Error(`web: ${name}.base_url must be a URL without credentials, query and fragment`)
  return baseUrl.replace(/\/+$/, '')
}

/**
 * The engine for requests that name none; undefined if none is configured.
 *
 * @throws Error if `default_engine` is not configured
 */
export function defaultEngineOf(
  { default_engine: wanted }: Options,
  engines: ReadonlyMap<string, Engine>,
): EngineName | undefined {
  if (wanted !== undefined && !engines.has(wanted))
    throw new Error(`web: default_engine is "${wanted}", and there is no [plugins.web.${wanted}]`)
  return wanted ?? engineNames.find((name) => engines.has(name))
}
