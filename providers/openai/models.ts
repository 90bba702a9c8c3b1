import type { JsonObject, ModelInfo, ModelPrices, ModelsRequest } from '@hadrian/core/provider'
import { filled, isObject } from './json.ts'

function positive(...values: readonly unknown[]): number | undefined {
  return values.find((value): value is number => typeof value === 'number' && value > 0)
}

function strings(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string') ? value : undefined
}

/** OpenRouter lists prices as dollars per token, in strings. Negative ones mean that they vary. */
function readPrices(pricing: unknown): ModelPrices | undefined {
  if (!isObject(pricing)) return undefined
  const price = (name: string, scale: number): number | undefined => {
    const dollars = Number(filled(pricing[name]))
    return Number.isFinite(dollars) && dollars >= 0 ? Math.round(dollars * scale) : undefined
  }
  const [perMillionTokens, perRequest] = [1e12, 1e6]
  const input = price('prompt', perMillionTokens)
  const output = price('completion', perMillionTokens)
  if (input === undefined || output === undefined) return undefined
  const cachedInput = price('input_cache_read', perMillionTokens)
  const cacheWrite = price('input_cache_write', perMillionTokens)
  const request = price('request', perRequest)
  return {
    input,
    output,
    ...(cachedInput !== undefined && { cachedInput }),
    ...(cacheWrite !== undefined && { cacheWrite }),
    ...(request !== undefined && { request }),
  }
}

/** One entry of a model list: OpenAI's fields, and those that OpenRouter, Groq, Mistral, Together and vLLM add. */
function readModel(entry: JsonObject, id: string): ModelInfo {
  const architecture = isObject(entry['architecture']) ? entry['architecture'] : {}
  const top = isObject(entry['top_provider']) ? entry['top_provider'] : {}
  const { created } = entry
  const found = {
    name: filled(entry['name']) ?? filled(entry['display_name']),
    created: typeof created === 'number' && created > 0 ? Math.trunc(created) : undefined,
    ownedBy: filled(entry['owned_by']) ?? filled(entry['organization']),
    contextLength: positive(
      entry['context_length'],
      entry['context_window'],
      entry['max_context_length'],
      entry['max_model_len'],
    ),
    maxOutputTokens: positive(top['max_completion_tokens'], entry['max_completion_tokens']),
    inputModalities: strings(architecture['input_modalities']),
    outputModalities: strings(architecture['output_modalities']),
    supportedParameters: strings(entry['supported_parameters']),
    prices: readPrices(entry['pricing']),
  }
  return { id, ...Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) }
}

/** The models of a list; an entry without an id is none. */
export function readModels(body: unknown): readonly ModelInfo[] {
  const list = isObject(body) ? (body['data'] ?? body['models']) : body
  if (!Array.isArray(list)) return []
  return list.filter(isObject).flatMap((entry) => {
    const id = filled(entry['id'])
    return id === undefined ? [] : [readModel(entry, id)]
  })
}

/** The request that lists the models of an upstream; `query` as `Quirks` has it. */
export function modelsRequest(query: string): ModelsRequest {
  return { wire: { method: 'GET', path: `/models${query}`, headers: {}, dialect: 'models' }, read: readModels }
}
