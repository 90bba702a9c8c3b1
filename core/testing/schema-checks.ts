import assert from 'node:assert/strict'
import { Ajv } from 'ajv'
import type { ValidateFunction } from 'ajv'
import type { JsonObject } from '../contract/canonical.ts'
import type { ObjectSchema, Schema } from '../contract/options.ts'

const secretName = /(^|_)(api_key|secret|password|credentials?)$/

/**
 * Checks a schema of options or params as an operator or client would meet it, and returns the values with the defaults
 * filled in.
 *
 * @param what `options` or `params`, for messages
 * @throws AssertionError saying what the author should change
 */
export function checkSchema(what: string, schema: ObjectSchema, values: JsonObject = {}): JsonObject {
  const validate = compile(what, schema)
  const filled = structuredClone(values) as Record<string, unknown>
  assert.ok(
    validate(filled),
    `the ${what} the suite was given do not fit the schema, defaults included: ${failuresOf(validate)}` +
      (Object.keys(values).length === 0 ? `; if some are required, pass \`${what}\` to the suite` : ''),
  )
  assert.ok(
    !validate({ ...structuredClone(values), 'no-such-option': 1 }),
    `unknown ${what} are accepted, so a misspelt one would be ignored: set additionalProperties: false`,
  )
  for (const [name, property] of Object.entries(schema.properties ?? {})) checkProperty(what, name, property)
  return filled
}

function checkProperty(what: string, name: string, property: Schema): void {
  const place = `${what}.${name}`
  assert.match(name, /^[a-z][a-z0-9_]*$/, `${place}: names are snake_case`)
  assert.ok(property.description, `${place} has no description; it is what operators and generated docs show`)
  assert.ok(
    !secretName.test(name) || property.writeOnly === true,
    `${place} looks like a secret: set writeOnly: true, so that it is never printed`,
  )
  if (!Object.hasOwn(property, 'default')) return
  const validate = compile(place, property)
  assert.ok(
    validate(structuredClone(property.default)),
    `the default of ${place} is not valid: ${failuresOf(validate)}`,
  )
}

function compile(what: string, { default: _, ...schema }: Schema): ValidateFunction {
  try {
    // Stricter than the gateway: a keyword nobody knows is a typing error.
    return new Ajv({ strictSchema: true, allowUnionTypes: true, strictTypes: false, useDefaults: true }).compile(schema)
  } catch (error) {
    throw new assert.AssertionError({ message: `the schema of ${what} is not valid: ${(error as Error).message}` })
  }
}

function failuresOf({ errors }: ValidateFunction): string {
  return (errors ?? []).map(({ instancePath, message }) => `${instancePath || 'the value'} ${message}`).join('; ')
}
