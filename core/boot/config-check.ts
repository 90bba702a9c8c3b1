import { Ajv } from 'ajv'
import type { ErrorObject, ValidateFunction } from 'ajv'
import type { Schema } from '../contract/plugin.ts'
import type { Problem } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'
import { child, configPath, pointerSegments, valueAt } from './config-path.ts'
import type { Segment } from './config-path.ts'
import { schemaAt } from './config-schema.ts'
import { environmentKeys, isTable } from './config-tree.ts'
import type { ConfigTree } from './config-tree.ts'

/**
 * Validates the tree in place: fills in defaults, makes numbers and booleans of strings that were one `${NAME}` as a
 * whole. Returns every mistake, each with its path.
 */
export function checkConfig(built: ConfigTree, schema: Schema): Problem[] {
  for (const segments of built.coercible) coerce(built.tree, segments, schemaAt(schema, segments))
  const validate = validatorOf(schema)
  if (validate(built.tree)) return []
  const problems = new Map<string, Problem>()
  for (const error of withoutBranches(validate.errors ?? [])) {
    const place = pointerSegments(error.instancePath, built.tree)
    const segments = error.propertyName === undefined ? place : [...place, error.propertyName]
    const problem = explain(error, segments, built, schema)
    if (isBroken(built, segments) || built.broken.has(problem.path)) continue
    problems.set(`${problem.path} ${problem.message}`, problem)
  }
  return [...problems.values()]
}

/** The newest validator. A reload mostly comes with the same packages, and compiling takes tens of milliseconds. */
let newest: { readonly key: string; readonly validate: ValidateFunction } | undefined

function validatorOf(schema: Schema): ValidateFunction {
  const key = JSON.stringify(schema)
  if (newest?.key !== key) {
    const validator = new Ajv({
      allErrors: true,
      useDefaults: true,
      verbose: true,
      strict: false,
      ownProperties: true,
      logger: false,
      validateFormats: false,
      // The schemas of packages were checked one by one.
      meta: false,
      validateSchema: false,
    })
    newest = { key, validate: validator.compile(schema) }
  }
  return newest.validate
}

function coerce(tree: Record<string, unknown>, segments: readonly Segment[], schema: Schema | undefined): void {
  const types = new Set([schema?.type ?? []].flat())
  const parent = valueAt(tree, segments.slice(0, -1)) as Record<Segment, unknown> | undefined
  const key = segments.at(-1)
  const text = key === undefined ? undefined : child(parent, key)
  if (parent === undefined || key === undefined || typeof text !== 'string' || types.has('string')) return
  if (types.has('boolean') && (text === 'true' || text === 'false')) parent[key] = text === 'true'
  else if ((types.has('integer') || types.has('number')) && /^-?\d+(\.\d+)?$/.test(text)) parent[key] = Number(text)
}

/** Errors inside the branches of `anyOf` and `oneOf` say nothing for sure: only the branching itself is an error. */
function withoutBranches(errors: readonly ErrorObject[]): ErrorObject[] {
  const branchings = errors.filter(({ keyword }) => keyword === 'anyOf' || keyword === 'oneOf')
  return errors.filter(
    (error) =>
      error.keyword !== 'if' &&
      // Says only that the name of a key is wrong; the error beside it says how.
      error.keyword !== 'propertyNames' &&
      !branchings.some(({ schemaPath }) => error.schemaPath.startsWith(`${schemaPath}/`)),
  )
}

function isBroken({ broken }: ConfigTree, segments: readonly Segment[]): boolean {
  return segments.some((_, index) => broken.has(configPath(segments.slice(0, index + 1))))
}

function explain(error: ErrorObject, segments: readonly Segment[], built: ConfigTree, schema: Schema): Problem {
  const params = error.params as Record<string, unknown>
  const parent = error.parentSchema
  const shown = display(error.data, segments, built, schema)
  const at = (message: string, hint?: string, inside: readonly Segment[] = segments): Problem => ({
    path: placeOf(inside, built),
    message,
    ...(hint !== undefined && { hint }),
  })
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(params['additionalProperty'])
      const known = Object.keys(parent?.properties ?? {})
      const hint = didYouMean(key, known) ?? (known.length > 0 ? `Known keys: ${known.join(', ')}.` : undefined)
      return at('is not a known key', hint, [...segments, key])
    }
    case 'required':
      return at('is missing', undefined, [...segments, String(params['missingProperty'])])
    case 'enum': {
      const allowed = params['allowedValues'] as readonly unknown[]
      const hint = typeof error.data === 'string' ? didYouMean(error.data, allowed.map(String)) : undefined
      return at(`must be one of ${allowed.map((value) => JSON.stringify(value)).join(', ')}${shown}`, hint)
    }
    case 'const':
      return at(`must be ${JSON.stringify(params['allowedValue'])}${shown}`)
    case 'type':
      return at(`must be ${[params['type']].flat().map(withArticle).join(' or ')}${shown}`)
    case 'anyOf':
    case 'oneOf':
      return at(`has none of the allowed forms${shown}`, parent?.description)
    case 'pattern':
      return at(`must match ${String(params['pattern'])}${shown}`, parent?.description)
    default:
      return at(`${inPlainWords(error.keyword, params) ?? error.message ?? 'is not valid'}${shown}`)
  }
}

/** What a keyword with a limit asks for; undefined for the others. */
function inPlainWords(keyword: string, params: Readonly<Record<string, unknown>>): string | undefined {
  const limit = Number(params['limit'])
  const many = (thing: string, plural = `${thing}s`): string => `${limit} ${limit === 1 ? thing : plural}`
  switch (keyword) {
    case 'minLength':
      return limit === 1 ? 'must not be empty' : `must have at least ${many('character')}`
    case 'maxLength':
      return `must have at most ${many('character')}`
    case 'minItems':
      return limit === 1 ? 'must not be empty' : `must have at least ${many('entry', 'entries')}`
    case 'maxItems':
      return `must have at most ${many('entry', 'entries')}`
    case 'minimum':
      return `must be ${limit} or more`
    case 'maximum':
      return `must be ${limit} or less`
    case 'exclusiveMinimum':
      return `must be more than ${limit}`
    case 'exclusiveMaximum':
      return `must be less than ${limit}`
  }
  return undefined
}

/** The config path, or the variable that set the value. */
function placeOf(segments: readonly Segment[], { sources }: ConfigTree): string {
  const path = configPath(segments)
  const overlay = environmentKeys.find((entry) => configPath(entry.segments) === path)
  if (overlay && sources.get(path)?.kind === 'environment') return overlay.variable
  return path
}

const articles: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a table',
  null: 'empty',
}

function withArticle(type: unknown): string {
  return articles[String(type)] ?? String(type)
}

/** The wrong value, unless it may be a secret or is no scalar. */
function display(value: unknown, segments: readonly Segment[], { sources }: ConfigTree, schema: Schema): string {
  if (value === undefined || value === '' || Array.isArray(value) || isTable(value)) return ''
  if (schemaAt(schema, segments)?.writeOnly === true) return ''
  const source = sources.get(configPath(segments))
  if (source?.kind === 'file' && source.variables.length > 0) return ` (it comes from ${source.variables.join(', ')})`
  return `, not ${JSON.stringify(value).slice(0, 80)}`
}
