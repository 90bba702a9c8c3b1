import { existsSync, readFileSync } from 'node:fs'
import type { Schema } from '../contract/options.ts'

/** In a build the schemas are copied beside the compiled folders; in the workspace they stand beside `core`. */
const directory = [new URL('../schemas/', import.meta.url), new URL('../../schemas/', import.meta.url)].find((place) =>
  existsSync(new URL('config.schema.json', place)),
)

/** Reads `schemas/NAME.schema.json`. Called at startup only. */
export function readSchemaFile(name: string): Schema {
  if (directory === undefined) throw new Error('the schemas of @hadrian/core are missing: install it again')
  return JSON.parse(readFileSync(new URL(`${name}.schema.json`, directory), 'utf8')) as Schema
}
