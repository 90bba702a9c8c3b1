import type { JsonObject } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import { dataPolicyBody, modelInfoBody } from '../contract/model-info.ts'
import type { Catalog, CatalogModel, ModelFacts, Reply, Route, RouteCall } from '../contract/plugin.ts'
import type { Target, TargetHealth } from '../contract/plugin.ts'
import { jsonReply } from '../contract/plugin.ts'
import { pricesBody } from '../contract/prices.ts'
import type { ModelPrices } from '../contract/provider.ts'

/** What lists of models are made of. */
export interface ModelListOptions {
  readonly catalog: Catalog
  /** The service `target-health`, if a plugin provides it. */
  readonly targetHealth?: TargetHealth | undefined
}

/** Models to write before other work gets its turn: some milliseconds. */
const writtenAtOnce = 100

/** The endpoints that list models. */
export function modelListRoutes(prefix: string, options: ModelListOptions): Route[] {
  const { catalog } = options
  const list = async (call: RouteCall): Promise<Reply> => {
    const models = await catalog.models(call.principal!)
    const pieces: string[] = []
    for (let index = 0; index < models.length; index += writtenAtOnce) {
      if (index > 0) await new Promise((next) => void setImmediate(next))
      const bodies = models.slice(index, index + writtenAtOnce).map((model) => modelBody(model, options))
      pieces.push(JSON.stringify(bodies).slice(1, -1))
    }
    return jsonReply(`{"object":"list","data":[${pieces.join(',')}]}`)
  }
  const show = async (call: RouteCall): Promise<Reply> => {
    const id = call.params['id'] ?? ''
    const found = (await catalog.models(call.principal!, id)).find((model) => model.id === id)
    if (!found)
      throw gatewayError('not_found', `Model '${id}' not found`, { details: { suggestions: catalog.suggestions(id) } })
    return jsonReply(modelBody(found, options))
  }
  return [
    { method: 'GET', path: `${prefix}/models`, scope: 'models', summary: 'List the models you may use', handle: list },
    // Model names contain slashes.
    { method: 'GET', path: `${prefix}/models/*id`, scope: 'models', summary: 'Show a model', handle: show },
  ]
}

/** A model in OpenAI's shape, OpenRouter's fields, and ours. What is unknown is left out. */
function modelBody(model: CatalogModel, options: ModelListOptions): JsonObject {
  const { id, provider, created = 0, ownedBy = provider, targets = [] } = model
  const { name, context_length, max_output_tokens, input_modalities, output_modalities, supported_parameters } =
    modelInfoBody(model)
  const hasModalities = input_modalities !== undefined || output_modalities !== undefined
  const hasLimits = context_length !== undefined || max_output_tokens !== undefined
  return {
    id,
    object: 'model',
    created,
    owned_by: ownedBy,
    name,
    provider,
    context_length,
    max_output_tokens,
    input_modalities,
    output_modalities,
    supported_parameters,
    ...(hasModalities && { architecture: { input_modalities, output_modalities } }),
    ...(hasLimits && { top_provider: { context_length, max_completion_tokens: max_output_tokens } }),
    ...(model.distillable !== undefined && { distillable: model.distillable }),
    ...(model.prices && { pricing: pricingBody(model.prices) }),
    targets: targets.map((target) => targetBody(target, options)),
  }
}

function targetBody(target: Target, { catalog, targetHealth }: ModelListOptions): JsonObject {
  const info: ModelFacts = target.info ?? {}
  const prices = catalog.prices(target)
  return {
    provider: target.provider,
    model: target.model,
    slug: info.slug ?? target.provider,
    context_length: info.contextLength,
    max_output_tokens: info.maxOutputTokens,
    quantization: info.quantization,
    ...(info.dataPolicy && { data_policy: dataPolicyBody(info.dataPolicy) }),
    weight: info.weight,
    ...(prices && { pricing: pricingBody(prices) }),
    ...(targetHealth && { status: targetHealth.state(target) }),
  }
}

/** Dollars per million tokens, as the config spells them, and per token in strings, as OpenRouter does. */
function pricingBody(prices: ModelPrices): JsonObject {
  const perToken = (micros: number | undefined): string | undefined => dollars(micros, 1e12, 12)
  return {
    ...pricesBody(prices),
    prompt: perToken(prices.input),
    completion: perToken(prices.output),
    input_cache_read: perToken(prices.cachedInput),
    input_cache_write: perToken(prices.cacheWrite),
    internal_reasoning: perToken(prices.reasoning),
    request: dollars(prices.request, 1e6, 6),
    image: dollars(prices.image, 1e6, 6),
  }
}

/** A decimal number without an exponent and without zeros at its end. */
function dollars(micros: number | undefined, scale: number, digits: number): string | undefined {
  return micros === undefined ? undefined : (micros / scale).toFixed(digits).replace(/\.?0+$/, '')
}
