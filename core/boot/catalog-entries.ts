import type { CatalogEntry } from '../services/catalog.ts'
import type { Config, ModelConfig } from './config.ts'

/** `[models]` of the config as the catalog takes it: prices in whole micro-dollars. */
export function catalogEntries(models: Config['models']): CatalogEntry[] {
  return Object.entries(models).map(([name, model]) => ({
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
      ...(model.prices && { prices: prices(model.prices) }),
    },
  }))
}

function prices(dollars: NonNullable<ModelConfig['prices']>): NonNullable<CatalogEntry['info']['prices']> {
  return {
    input: micros(dollars.input_per_million),
    output: micros(dollars.output_per_million),
    ...(dollars.cached_input_per_million !== undefined && { cachedInput: micros(dollars.cached_input_per_million) }),
    ...(dollars.cache_write_per_million !== undefined && { cacheWrite: micros(dollars.cache_write_per_million) }),
    ...(dollars.per_request !== undefined && { request: micros(dollars.per_request) }),
  }
}

function micros(dollars: number): number {
  return Math.round(dollars * 1_000_000)
}
