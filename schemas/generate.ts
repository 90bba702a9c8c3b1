/** Writes `schemas/types.ts`, the TypeScript form of the JSON Schemas. Run by hand after a schema was changed. */

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compile } from 'json-schema-to-typescript'
import type { JSONSchema } from 'json-schema-to-typescript'
import { schemaLibrary } from '../core/services/schema-library.ts'

const file = fileURLToPath(new URL('./types.ts', import.meta.url))

/** What `schemas/types.ts` must contain. */
export async function generateTypes(): Promise<string> {
  const definitions = schemaLibrary() as Record<string, JSONSchema>
  const root: JSONSchema = {
    title: 'SchemaTypes',
    description: 'Every type of this file by its name.',
    type: 'object',
    additionalProperties: false,
    required: Object.keys(definitions),
    properties: Object.fromEntries(Object.keys(definitions).map((name) => [name, { $ref: `#/definitions/${name}` }])),
    definitions,
  }
  const types = await compile(root, 'SchemaTypes', {
    bannerComment: '/** Generated from the JSON Schemas of this folder by `schemas/generate.ts`. Do not edit. */',
    enableConstEnums: false,
    format: false,
    ignoreMinAndMaxItems: true,
    unknownAny: true,
  })
  return formatted(types)
}

/** What the file contains now. */
export function currentTypes(): string {
  return readFileSync(file, 'utf8')
}

function formatted(source: string): string {
  const formatter = fileURLToPath(new URL('../node_modules/oxfmt/bin/oxfmt', import.meta.url))
  const result = spawnSync(process.execPath, [formatter, '--stdin-filepath', file], { input: source, encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`oxfmt failed: ${result.stderr}`)
  return result.stdout
}

if (import.meta.main) {
  writeFileSync(file, await generateTypes())
  console.log(`Wrote ${file}`)
}
