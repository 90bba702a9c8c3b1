import type { GenerateRequest, PluginEntry } from '../contract/canonical.ts'
import type { Target } from '../contract/plugin.ts'
import { gatewayError, invalidRequest } from '../contract/errors.ts'
import { compressionOff, compressionOn } from '../dialects/extension-aliases.ts'
import { jsonPath, pointerKeys } from '../services/json-path.ts'
import { nearest } from '../services/spelling.ts'
import type { Plan, Requestable } from './plan.ts'

/** The plugins active for an exchange among those with `params`, each with its validated params. */
export type ActivePlugins = ReadonlyMap<string, Readonly<Record<string, unknown>>>

const none: ActivePlugins = new Map()

/**
 * Decides which plugins with `params` run for a request: the operator's `apply = "always"`, and what the client names in
 * `plugins`. An entry replaces the operator's defaults; locked params overlay it.
 *
 * @throws GatewayError `invalid_request_error` with the JSON path, for an unknown id, a repeated one, or bad params
 */
export function activePlugins(plan: Plan, request: GenerateRequest): ActivePlugins {
  if (plan.requestables.size === 0 && !request.plugins) return none
  const active = new Map<string, Readonly<Record<string, unknown>>>()
  for (const { id, settings, defaults } of plan.requestables.values())
    if (settings.apply === 'always') active.set(id, defaults)
  const named = new Set<string>()
  for (const [index, entry] of (request.plugins ?? []).entries()) {
    const isAlias = entry === compressionOn || entry === compressionOff
    const path = isAlias ? 'transforms' : `plugins[${index}]`
    const requestable = plan.requestables.get(entry.id)
    if (!requestable) {
      if (entry === compressionOff) continue
      throw isAlias
        ? unserved(entry.id, { what: 'The field "transforms"', param: path })
        : unknownId(plan, entry.id, path)
    }
    if (named.has(entry.id)) throw invalid(`${path}.id`, `"${entry.id}" is named twice`)
    named.add(entry.id)
    if (entry.enabled === false) {
      if (requestable.settings.apply === 'always' && !requestable.settings.clientMayDisable)
        throw invalid(`${path}.enabled`, `"${entry.id}" cannot be disabled by a client of this gateway`)
      active.delete(entry.id)
    } else active.set(entry.id, paramsOf(requestable, entry, path))
  }
  return active
}

/** The plugin that the suffix `:online` of a model name stands for. */
const onlinePlugin = 'web'

/**
 * Adds what the suffix `:online` of a model name stands for. An entry of the plugin in `plugins` wins, also one that
 * switches it off.
 *
 * @throws GatewayError `unsupported` if there is no such plugin
 */
export function withOnline(plan: Plan, request: GenerateRequest, active: ActivePlugins): ActivePlugins {
  if (request.plugins?.some(({ id }) => id === onlinePlugin) || active.has(onlinePlugin)) return active
  const requestable = plan.requestables.get(onlinePlugin)
  if (!requestable) throw unserved(onlinePlugin, { what: 'The suffix ":online"', param: 'model' })
  return new Map([...active, [onlinePlugin, requestable.defaults]])
}

/**
 * Adds to the active plugins those that the request does not name and that say it needs them. Called when the candidates
 * are known; returns the same map where nothing is added.
 */
export function withImplied(
  { implicit }: Plan,
  request: GenerateRequest,
  { active, targets }: { readonly active: ActivePlugins; readonly targets: readonly Target[] },
): ActivePlugins {
  let result: Map<string, Readonly<Record<string, unknown>>> | undefined
  for (const { requestable, implied } of implicit) {
    const { id, defaults } = requestable
    if (request.plugins?.some((entry) => entry.id === id) || !implied(request, targets)) continue
    result ??= new Map(active)
    result.set(id, defaults)
  }
  return result ?? active
}

function paramsOf(requestable: Requestable, entry: PluginEntry, path: string): Readonly<Record<string, unknown>> {
  const { id: _, enabled: __, ...sent } = entry
  const { settings, defaults, validate } = requestable
  const params: Record<string, unknown> = structuredClone(Object.keys(sent).length > 0 ? sent : defaults)
  for (const name of settings.locked)
    if (Object.hasOwn(settings.params, name)) params[name] = settings.params[name]
    else delete params[name]
  if (!validate(params)) {
    const errors = (validate.errors ?? []).map(({ instancePath, message, params: facts }) => ({
      path: jsonPath(pointerKeys(instancePath), params, path),
      message: `${message ?? 'is not valid'}${facts['additionalProperty'] === undefined ? '' : ` ("${String(facts['additionalProperty'])}")`}`,
    }))
    throw invalidRequest(errors)
  }
  return params
}

function unserved(id: string, { what, param }: { readonly what: string; readonly param: string }): Error {
  return gatewayError('unsupported', `${what} needs the plugin "${id}", which is not enabled on this gateway`, {
    param,
  })
}

function unknownId(plan: Plan, id: string, path: string): Error {
  const ids = [...plan.requestables.keys()]
  const [near] = nearest(id, ids)
  const hint = near === undefined ? '' : ` Did you mean "${near}"?`
  return invalid(
    `${path}.id`,
    `No plugin "${id}" can be named by a client of this gateway.${hint} Available: ${ids.join(', ') || 'none'}`,
  )
}

function invalid(path: string, message: string): Error {
  return gatewayError('invalid_request_error', message, { param: path, details: { errors: [{ path, message }] } })
}
