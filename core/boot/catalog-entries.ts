import { readPrices } from '../contract/prices.ts'
import type { CatalogEntry } from '../services/catalog.ts'
import type { Config } from './config.ts'

/** `[models]` of the config as the catalog takes it: prices in whole micro-dollars. */
export function catalogEntries(models: Config['models']): CatalogEntry[] {
  return Object.entries(models).map(([name, model]) => {
    // Mistakes the schema cannot see were found when the config was checked.
    const prices = model.prices && readPrices(model.prices, '', () => undefined)
    return {
      name,
      aliases: model.aliases,
      targets: model.targets ?? [],
      info: {
        id: name,
        ...(model.name !== undefined && { name: model.name }),
        ...(model.context_length !== undefined && { contextLength: model.context_length }),
        ...(model.max_output_tokens !== undefined && { maxOutputTokens: model.max_output_tokens }),
        ...(model.input_modalities && { inputModalities: model.input_modalities }),
        ...(model.output_modalities && { outputModalities: model.output_modalities }),
        ...(model.supported_parameters && { supportedParameters: model.supported_parameters }),
        ...(prices && { prices }),
      },
    }
  })
}
