import { Ajv } from 'ajv'
import type { ObjectSchema } from '../contract/plugin.ts'
import type { PluginSettings, Requestable } from '../pipeline/plan.ts'
import type { Problem } from '../services/problems.ts'

/** Compiles the `params` schema of a plugin and checks the operator's defaults against it. */
export function compileParams(
  id: string,
  schema: ObjectSchema,
  settings: PluginSettings,
): { readonly requestable: Requestable } | { readonly problems: readonly Problem[] } {
  const path = `plugins.${id}`
  const validator = new Ajv({ useDefaults: true, allErrors: true, strict: false })
  let validate
  try {
    validate = validator.compile(schema)
  } catch (error) {
    return { problems: [{ path, message: `its "params" schema is not valid: ${(error as Error).message}` }] }
  }
  const problems: Problem[] = []
  const defaults = structuredClone(settings.params) as Record<string, unknown>
  if (!validate(defaults))
    for (const error of validate.errors ?? [])
      problems.push({
        path: `${path}.params${error.instancePath.replaceAll('/', '.')}`,
        message: error.message ?? 'is not valid',
      })
  for (const name of settings.locked)
    if (!(name in (schema.properties ?? {})))
      problems.push({
        path: `${path}.locked`,
        message: `"${name}" is no param of this plugin`,
        hint: `Its params are: ${Object.keys(schema.properties ?? {}).join(', ') || 'none'}.`,
      })
  if (problems.length > 0) return { problems }
  return { requestable: { id, settings, schema, validate, defaults: frozen(defaults) } }
}

/** All exchanges share the defaults: a plugin that changes them must not change them for others. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const entry of Object.values(value)) frozen(entry)
  return Object.freeze(value)
}
