import type { GenerateRequest } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { Plan } from './plan.ts'

/** The service by which a plugin says that it obeys the `provider` field and the suffixes of model names. */
const service = 'provider-preferences'

/** Whether some plugin of the plan obeys what clients want of providers. */
export function servesPreferences({ plugins }: Pick<Plan, 'plugins'>): boolean {
  return plugins.some(({ definition }) => definition.provides?.includes(service))
}

/**
 * Refuses provider preferences where nobody would obey them: to ignore one would break a promise to the client.
 *
 * @throws GatewayError `unsupported`, which names the first of them
 */
export function refuseUnserved(plan: Pick<Plan, 'plugins'>, { provider }: GenerateRequest): void {
  if (!provider) return
  const key = Object.keys(provider).find((name) => provider[name] !== null && provider[name] !== undefined)
  if (key !== undefined && !servesPreferences(plan))
    throw unserved(`The provider preference "${key}" is not served`, `provider.${key}`)
}

/** The error for a suffix that sorts targets, where nobody would sort them. */
export function unservedSuffix(suffix: string): GatewayError {
  return unserved(`The suffix ":${suffix}" is not served`, 'model')
}

function unserved(what: string, param: string): GatewayError {
  return gatewayError('unsupported', `${what} by this gateway: no plugin that routes is enabled`, { param })
}
