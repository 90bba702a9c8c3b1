import type { GenerateRequest } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { Principal, Target } from '../contract/plugin.ts'
import { mayUse } from '../services/access.ts'
import { servesPreferences, unservedSuffix } from './served-preferences.ts'
import type { PipelineServices } from './services.ts'
import { withoutSuffixes } from './suffixes.ts'
import type { SuffixedName } from './suffixes.ts'

/** A target that will not be tried, and who took it off the list. */
export interface Excluded {
  readonly target: string
  readonly removedBy: string
}

/** What a request's model names lead to. */
export interface Candidates {
  readonly targets: readonly Target[]
  readonly excluded: readonly Excluded[]
  /** A name asked for the web by its suffix `:online`. */
  readonly online: boolean
}

const unknownName = 'unknown model'

type CandidateServices = Pick<PipelineServices, 'catalog' | 'providers' | 'routing' | 'plan'>

/**
 * Expands `model` and `models` to targets, before anybody decides about access.
 *
 * @throws GatewayError `invalid_request_error` if no model is named, `routing_error` if none is known,
 *   `model_not_allowed` if the principal may not use one of them, `unsupported` for a suffix that nobody obeys
 */
export function expandCandidates(
  request: GenerateRequest,
  principal: Principal,
  services: CandidateServices,
): Candidates {
  const names = requestedNames(request, services.routing.defaultModel)
  const targets: Target[] = []
  const excluded: Excluded[] = []
  const seen = new Set<string>()
  let online = false
  for (const name of names) {
    const suffixed = withoutSuffixes(name, services.catalog)
    const found = suffixed ? suffixedTargets(name, suffixed, services) : services.catalog.resolve(name)
    if (found.length === 0) excluded.push({ target: name, removedBy: unknownName })
    if (suffixed?.online) online = true
    for (const target of found) {
      if (!mayUse(principal, target))
        throw gatewayError('model_not_allowed', `This key may not use the model "${name}"`, {
          details: { model: name },
        })
      if (seen.has(target.name)) continue
      seen.add(target.name)
      const provider = services.providers.get(target.provider)
      if (provider?.provider.capabilities.operations.includes(request.operation)) targets.push(target)
      else
        excluded.push({
          target: target.name,
          removedBy: `operation: ${target.provider} does not serve ${request.operation}`,
        })
    }
  }
  if (targets.length === 0) throw noTarget({ request, principal, services, excluded })
  return { targets, excluded, online }
}

/** @throws GatewayError `unsupported` if the targets are to be sorted and no plugin does that */
function suffixedTargets(
  requested: string,
  { plain, suffix }: SuffixedName,
  { catalog, plan }: CandidateServices,
): readonly Target[] {
  if (suffix !== undefined && !servesPreferences(plan)) throw unservedSuffix(suffix)
  const more = { requested, plainName: plain, ...(suffix !== undefined && { suffix }) }
  return catalog.resolve(plain).map((target) => ({ ...target, ...more }))
}

function requestedNames(request: GenerateRequest, defaultModel: string | undefined): readonly string[] {
  if (request.model !== undefined && !request.models) return [request.model]
  const names = [...(request.model === undefined ? [] : [request.model]), ...(request.models ?? [])]
  if (names.length === 0 && defaultModel !== undefined) names.push(defaultModel)
  if (names.length === 0)
    throw gatewayError('invalid_request_error', 'No model is named and the gateway has no default model', {
      param: 'model',
      details: { errors: [{ path: 'model', message: 'is required' }] },
    })
  return [...new Set(names)]
}

/** The error when nothing is left to try. Also used when hooks have taken every target off the list. */
export function noTarget({
  request,
  principal,
  services,
  excluded,
}: {
  readonly request: GenerateRequest
  readonly principal: Principal
  readonly services: CandidateServices
  readonly excluded: readonly Excluded[]
}): GatewayError {
  const names = requestedNames(request, services.routing.defaultModel)
  const unknown = excluded.every(({ removedBy }) => removedBy === unknownName)
  const [first] = names
  // A name the caller may not use is none of its business, and no help either.
  const suggestions = names
    .flatMap((name) => services.catalog.suggestions(withoutSuffixes(name, services.catalog)?.plain ?? name))
    .filter((name) => mayUse(principal, { name, requested: name }))
  return gatewayError(
    'routing_error',
    unknown ? `Model '${first}' not found` : `No target can serve the model '${first}'`,
    {
      param: 'model',
      details: {
        requested: names,
        candidates: excluded.map(({ target, removedBy }) => ({ target, removed_by: removedBy })),
        suggestions: [...new Set(suggestions)].slice(0, 5),
      },
    },
  )
}
