import type { JsonObject } from '../contract/canonical.ts'
import { readModelInfo } from '../contract/model-info.ts'
import type { ModelFacts } from '../contract/provider.ts'
import type { CatalogEntry } from '../services/catalog.ts'
import type { Config } from './config.ts'

/** `[models]` of the config as the catalog takes it: prices in whole micro-dollars. */
export function catalogEntries(models: Config['models']): CatalogEntry[] {
  return Object.entries(models).map(([name, model]) => ({
    name,
    aliases: model.aliases,
    targets: (model.targets ?? []).map((target) =>
      typeof target === 'string' ? { target } : { target: target.target, info: infoOf(target) },
    ),
    info: infoOf(model),
  }))
}

/** What `[providers.NAME]` says of every target of an instance, by instance. */
export function instanceInfo(providers: Config['providers']): Map<string, ModelFacts> {
  return new Map(
    Object.entries(providers).flatMap(([instance, { slug, data_policy, quantization, weight }]) => {
      const info = infoOf({ slug, data_policy, quantization, weight })
      return Object.keys(info).length > 0 ? [[instance, info] as const] : []
    }),
  )
}

/** Mistakes the schema cannot see were found when the config was checked. */
function infoOf(section: object): ModelFacts {
  return readModelInfo(section as JsonObject, '', () => undefined)
}
