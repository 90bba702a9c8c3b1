import type { GenerateRequest, Warning } from '../contract/canonical.ts'
import type { Target } from '../contract/plugin.ts'
import { isGatewayError } from '../contract/errors.ts'
import { passesAsItIs } from '../dialects/passthrough.ts'
import type { ExchangeState } from './exchange.ts'
import type { ProviderInstance } from './services.ts'

/** Whether a warning says that something of the request did not reach the upstream at all. */
export function isLoss({ code }: Warning): boolean {
  return code !== 'adjusted_value'
}

/**
 * What a target would leave out of the request as it is now, without calling it: what its encoder warns of, or for a
 * transport of its own what its capabilities deny. Costs an encoding.
 */
export function lossesAt(exchange: ExchangeState, target: Target): readonly Warning[] {
  const instance = exchange.services.providers.get(target.provider)
  if (!instance) return []
  const { provider } = instance
  const { request, body } = exchange
  if (provider.send) return deniedBy(instance, request)
  const { capabilities } = provider
  const passes =
    !exchange.edited &&
    capabilities.dialects[exchange.dialect] !== undefined &&
    passesAsItIs({ body, request, target, capabilities })
  if (passes) return []
  try {
    return provider.encode(request, target).warnings.filter(isLoss)
  } catch (error) {
    // A request that cannot be encoded fails with its own error when it is tried.
    if (isGatewayError(error)) return []
    throw error
  }
}

function deniedBy({ name, provider: { capabilities } }: ProviderInstance, request: GenerateRequest): Warning[] {
  const { tools, jsonSchema, reasoning } = capabilities
  const denied = [
    tools === false && (request.tools?.length ?? 0) > 0 && 'tools',
    jsonSchema === false && request.responseFormat?.type === 'json_schema' && 'response_format',
    reasoning === false && request.reasoning !== undefined && 'reasoning',
  ]
  return denied.flatMap((param) =>
    param === false ? [] : [{ code: 'unsupported_parameter', message: `${name} does not take ${param}`, param }],
  )
}
