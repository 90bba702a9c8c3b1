import { invalidRequest } from '@hadrian/core/plugin'
import type { Target } from '@hadrian/core/plugin'
import type { Engine } from './engine.ts'
import type { EngineName } from './options.ts'

/** Who searches: an engine of the gateway, or the targets themselves. */
export type EngineChoice =
  | { readonly engine: Engine }
  | {
      readonly engine: 'native'
      /** Targets that have no search of their own, hence cannot be used. */
      readonly without: readonly Target[]
    }

/** What the choice is made of. */
export interface EngineOptions {
  readonly engines: ReadonlyMap<string, Engine>
  readonly defaultEngine: EngineName | undefined
  readonly targets: readonly Target[]
  readonly searches: (target: Target) => boolean
  /** Of the plugin's entry in the request, for errors. */
  readonly path: string
}

/**
 * Chooses who searches. Without a wish: the targets themselves if all of them can, since a fallback must not answer without
 * a search; else the default engine; else those targets that can.
 *
 * @throws GatewayError `invalid_request_error` if nobody can, or the engine that the client names is not there
 */
export function chooseEngine(wanted: string | undefined, options: EngineOptions): EngineChoice {
  const { engines, defaultEngine, targets, searches, path } = options
  if (wanted !== undefined && wanted !== 'native') {
    const engine = engines.get(wanted)
    if (engine) return { engine }
    const known = ['native', ...engines.keys()].join(', ')
    throw invalidRequest([
      { path: `${path}.engine`, message: `"${wanted}" is no engine of this gateway; it has ${known}` },
    ])
  }
  const without = targets.filter((target) => !searches(target))
  if (without.length === 0) return { engine: 'native', without }
  const engine = wanted === undefined && defaultEngine !== undefined ? engines.get(defaultEngine) : undefined
  if (engine) return { engine }
  if (without.length < targets.length) return { engine: 'native', without }
  const message =
    wanted === 'native'
      ? `no target of the model searches the web by itself; other engines of this gateway: ${[...engines.keys()].join(', ') || 'none'}`
      : 'no search engine is configured in this gateway, and no target of the model searches the web by itself; use a model that does'
  throw invalidRequest([{ path: wanted === 'native' ? `${path}.engine` : path, message }])
}
