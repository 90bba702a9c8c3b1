/** Checks request bodies against the schemas of `schemas/`. */

import { Ajv } from 'ajv'
import type { ErrorObject, ValidateFunction } from 'ajv'
import type { Dialect, JsonObject } from '../contract/canonical.ts'
import { gatewayError, invalidRequest } from '../contract/errors.ts'
import type { RequestMistake } from '../contract/errors.ts'
import type { Schema } from '../contract/options.ts'
import { withoutUnions } from './request-schema.ts'
import { jsonPath, pointerKeys } from '../services/json-path.ts'
import { didYouMean } from '../services/spelling.ts'
import { mapReferences, schemaLibrary } from '../services/schema-library.ts'

/** The schema of each dialect's request body, by its name in the library. */
const requestSchemas: Readonly<Record<Dialect, string>> = {
  chat: 'ChatCompletionRequest',
  responses: 'ResponseRequest',
  completions: 'CompletionRequest',
  embeddings: 'EmbeddingRequest',
}

/** Most mistakes listed for one body: one per top-level field, since each costs another run of the validator. */
const mostErrors = 10
/** Longest path or quoted value in an error, in UTF-16 units: both may be the client's own text. */
const longestQuote = 200

/** Our own keyword beside `pattern`: the mistake in words. */
const patternMessage = 'x-message'

interface BodyValidator {
  readonly required: readonly string[]
  readonly validate: ValidateFunction
}

const validators = compile()

function compile(): Readonly<Record<Dialect, BodyValidator>> {
  const ajv = new Ajv({
    strict: true,
    strictTypes: false,
    strictRequired: false,
    allowUnionTypes: true,
    verbose: true,
    // For a fast start: the schemas are our own and tested, and what V8 makes of the plainer code runs as fast.
    meta: false,
    validateSchema: false,
    inlineRefs: false,
    code: { optimize: false },
  })
  const definitions = withoutUnions(schemaLibrary())
  ajv.addVocabulary([patternMessage])
  ajv.addSchema({ $id: 'library', definitions })
  return Object.fromEntries(
    Object.entries(requestSchemas).map(([dialect, name]) => {
      const { required = [], ...root } = definitions[name]!
      const schema = mapReferences<Schema>(root, (reference) => `library${reference}`)
      return [dialect, { required, validate: ajv.compile(schema) }]
    }),
  ) as unknown as Record<Dialect, BodyValidator>
}

/**
 * Checks a parsed request body. Null stands for absent in every optional field; unknown fields, content parts and items
 * pass. `model` is not required here: a default may be configured.
 *
 * Called by the pipeline for every exchange, before the dialect reads the body.
 *
 * @throws GatewayError `invalid_request_error` with `param`, the JSON path of the first mistake, and `details.errors`, at
 *   most one per top-level field
 */
export function validateBody(dialect: Dialect, body: unknown): asserts body is JsonObject {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw gatewayError('invalid_request_error', 'The request body must be a JSON object', {
      details: { errors: [{ path: '', message: 'must be an object' }] },
    })
  const fields = body as JsonObject
  const { required, validate } = validators[dialect]
  if (required.every((name) => isPresent(fields, name)) && validate(fields)) return
  throw invalidRequest(collectErrors(fields, validators[dialect]))
}

function isPresent(fields: JsonObject, name: string): boolean {
  return Object.hasOwn(fields, name) && fields[name] !== null
}

/**
 * The first mistake of each top-level field. ajv's `allErrors` is not used: it would list every element of a hostile
 * array. Instead the field at fault is left out and the rest is checked again.
 */
function collectErrors(body: JsonObject, { required, validate }: BodyValidator): RequestMistake[] {
  const missing = required.filter((name) => !isPresent(body, name))
  const errors: RequestMistake[] = missing.map((path) => ({ path, message: 'is required' }))
  const rest = Object.fromEntries(Object.entries(body).filter(([name]) => !missing.includes(name)))
  while (errors.length < mostErrors && !validate(rest)) {
    const [error, field] = firstError(validate.errors ?? [], rest)
    errors.push(error)
    if (field === undefined) break
    delete rest[field]
  }
  return errors
}

/** The cause among ajv's errors, and the top-level field it is in. `if` errors only repeat that a member did not match. */
function firstError(errors: readonly ErrorObject[], body: JsonObject): [RequestMistake, string | undefined] {
  const error = errors.find(({ keyword }) => keyword !== 'if')
  if (error === undefined) return [{ path: '', message: 'is not valid' }, undefined]
  const keys = pointerKeys(error.instancePath)
  const extra = error.params as { readonly missingProperty?: string; readonly additionalProperty?: string }
  const child = extra.missingProperty ?? extra.additionalProperty
  const path = shorten(jsonPath(child === undefined ? keys : [...keys, child], body))
  return [{ path, message: describe(error) }, keys[0] ?? child]
}

function shorten(text: string): string {
  return text.length <= longestQuote ? text : `${text.slice(0, longestQuote).toWellFormed()}...`
}

/** What ajv found, in words. */
function describe({ keyword, params, schema, parentSchema, data, message }: ErrorObject): string {
  const limit = (params as { readonly limit?: number }).limit
  const items = limit === 1 ? 'item' : 'items'
  switch (keyword) {
    case 'required':
      return 'is required'
    case 'additionalProperties':
      return unknownKey(String((params as { additionalProperty?: string }).additionalProperty), parentSchema as Schema)
    case 'type':
      return `must be ${typeNames(schema as string | readonly string[])}`
    case 'enum':
    case 'const':
      return `must be ${alternatives([schema].flat().filter((value) => value !== null))}${got(data)}`
    case 'minimum':
      return `must be at least ${limit}`
    case 'maximum':
      return `must be at most ${limit}`
    case 'minItems':
      return `must have at least ${limit} ${items}`
    case 'maxItems':
      return `must have at most ${limit} ${items}`
    case 'minLength':
      return 'must not be empty'
    case 'maxLength':
      return `must be at most ${limit} characters long`
    case 'pattern':
      return (parentSchema as { readonly [patternMessage]?: string })[patternMessage] ?? 'is not valid'
    default:
      return message ?? 'is not valid'
  }
}

function unknownKey(key: string, { properties = {} }: Schema): string {
  const known = Object.keys(properties)
  return [`is not a known key; known are ${known.join(', ')}`, didYouMean(key, known)].filter(Boolean).join('. ')
}

const articles: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  integer: 'an integer',
  boolean: 'a boolean',
  array: 'an array',
  object: 'an object',
}

/** Null is left out: it only means absent. */
function typeNames(types: string | readonly string[]): string {
  return [types]
    .flat()
    .filter((type) => type !== 'null')
    .map((type) => articles[type] ?? type)
    .join(' or ')
}

function alternatives(values: readonly unknown[]): string {
  return values.length === 1
    ? JSON.stringify(values[0])
    : `one of ${values.map((value) => JSON.stringify(value)).join(', ')}`
}

function got(value: unknown): string {
  return typeof value === 'string' ? `, not ${JSON.stringify(shorten(value.toWellFormed()))}` : ''
}
