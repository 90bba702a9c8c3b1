import { checkKnown, invalidRequest, modelInfoBody, modelInfoFields, readModelInfo } from '@hadrian/core/plugin'
import type { JsonObject, NamedTarget, ReportMistake, RequestMistake } from '@hadrian/core/plugin'
import type { ModelEntry, ModelRecord } from './entry.ts'

/** Prices have an admin API of their own. */
const infoFields = modelInfoFields.filter((field) => field !== 'prices')
const fields = ['model', 'targets', ...infoFields]
const targetFields = ['target', ...infoFields]
const priceField = /^(?:prices|pricing|.*_per_million|per_request|per_image|tiers)$/
const mostCharacters = 512
const mostTargets = 100

/**
 * Reads the body that creates or replaces an entry.
 *
 * @param instances names of the provider instances there are
 * @throws GatewayError `invalid_request_error` with every mistake
 */
export function readEntry(body: JsonObject, instances: readonly string[]): ModelEntry {
  const mistakes: RequestMistake[] = []
  const wrong = (mistake: RequestMistake): void => void mistakes.push(mistake)
  checkFields(body, fields, '', wrong)
  const { model, targets } = body
  if (!isName(model)) wrong({ path: 'model', message: `must be a name of at most ${mostCharacters} characters` })
  const hasTargets = targets !== undefined && targets !== null
  if (!hasTargets && isName(model) && !isTarget(model, instances))
    wrong({ path: 'model', message: `must be ${targetForm(instances)}, or have targets` })
  const entry: ModelEntry = {
    model: model as string,
    targets: hasTargets ? readTargets(targets, instances, wrong) : undefined,
    info: readModelInfo(body, '', wrong),
  }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return entry
}

/** An entry as the admin API shows it: every field, null where it has none. */
export function recordBody({ id, model, targets, info, createdAt, updatedAt }: ModelRecord): JsonObject {
  const absent = Object.fromEntries(infoFields.map((field) => [field, null]))
  return {
    id,
    model,
    targets: targets ? targets.map(targetBody) : null,
    ...absent,
    ...modelInfoBody(info),
    created_at: createdAt,
    updated_at: updatedAt,
  }
}

/** A target as {@link readTargets} reads it: its name, where there is nothing else to say. */
export function targetBody({ target, info }: NamedTarget): unknown {
  const body = info ? modelInfoBody(info) : {}
  return Object.keys(body).length > 0 ? { target, ...body } : target
}

/** Reads targets: names, or objects of `target` and what is known of it. */
export function readTargets(
  value: unknown,
  instances: readonly string[] | undefined,
  wrong: ReportMistake,
): NamedTarget[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > mostTargets) {
    wrong({ path: 'targets', message: `must be an array of 1 to ${mostTargets} targets` })
    return []
  }
  const seen = new Set<unknown>()
  return value.map((entry: unknown, index): NamedTarget => {
    const isObject = typeof entry === 'object' && entry !== null && !Array.isArray(entry)
    const path = isObject ? `targets[${index}].target` : `targets[${index}]`
    const target = isObject ? (entry as JsonObject)['target'] : entry
    if (!isName(target) || (instances && !isTarget(target, instances)))
      wrong({ path, message: `must be ${targetForm(instances ?? [])}` })
    else if (seen.has(target)) wrong({ path, message: 'is a target of this entry already' })
    seen.add(target)
    if (!isObject) return { target: target as string }
    checkFields(entry as JsonObject, targetFields, `targets[${index}]`, wrong)
    const info = readModelInfo(entry as JsonObject, `targets[${index}]`, wrong)
    return { target: target as string, info }
  })
}

function checkFields(body: JsonObject, known: readonly string[], path: string, wrong: ReportMistake): void {
  checkKnown(body, known, path, ({ path: place, message }) =>
    wrong({
      path: place,
      message: priceField.test(place.slice(path === '' ? 0 : path.length + 1))
        ? 'is set at /admin/v1/model-pricing'
        : message,
    }),
  )
}

function isName(value: unknown): value is string {
  // The database has no NUL.
  return typeof value === 'string' && value !== '' && value.length <= mostCharacters && !value.includes('\0')
}

function isTarget(name: string, instances: readonly string[]): boolean {
  const slash = name.indexOf('/')
  return slash > 0 && slash < name.length - 1 && instances.includes(name.slice(0, slash))
}

function targetForm(instances: readonly string[]): string {
  return `provider/model, with a provider of this gateway (${instances.join(', ') || 'there is none'})`
}
