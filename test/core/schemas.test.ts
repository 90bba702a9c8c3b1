import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, it } from 'node:test'
import { Ajv } from 'ajv'
import type { Schema } from '../../core/contract/options.ts'
import { withoutUnions } from '../../core/dialects/request-schema.ts'
import { schemaLibrary } from '../../core/services/schema-library.ts'
import { currentTypes, generateTypes } from '../../schemas/generate.ts'

const schemas = new URL('../../schemas/', import.meta.url)
const fixtures = new URL('../fixtures/', import.meta.url)

function readJson(url: URL): Record<string, any> {
  return JSON.parse(readFileSync(url, 'utf8')) as Record<string, any>
}

/** ajv as strict about schemas as it can be, with our two annotations. */
function strictAjv(): Ajv {
  const ajv = new Ajv({
    strict: true,
    strictTypes: false,
    strictRequired: false,
    allowUnionTypes: true,
    allErrors: true,
  })
  ajv.addVocabulary(['discriminator', 'x-message'])
  return ajv
}

describe('schemas', () => {
  it('are valid draft-07 with a title, and every definition is used', () => {
    const documents = readdirSync(schemas).filter(
      (name) => name.endsWith('.schema.json') && name !== 'config.schema.json',
    )
    const references = new Set<string>()
    for (const name of documents) {
      const text = readFileSync(new URL(name, schemas), 'utf8')
      const document = JSON.parse(text) as Schema
      assert.equal(document['$schema'], 'http://json-schema.org/draft-07/schema#', name)
      assert.equal(strictAjv().validateSchema(document), true, name)
      for (const [, reference] of text.matchAll(/"\$ref": "[^"]*#\/definitions\/(\w+)"/g)) references.add(reference!)
      assert.match(String(document['title']), /^[A-Z]\w+$/, name)
      assert.ok(document.description, name)
    }
    const titles = new Set(documents.map((name) => String(readJson(new URL(name, schemas))['title'])))
    for (const name of Object.keys(schemaLibrary()))
      assert.ok(titles.has(name) || references.has(name), `${name} is not used`)
  })

  it('describe every field of a request', () => {
    const known = new Set(['frequency_penalty', 'presence_penalty', 'logit_bias', 'seed', 'min_p'])
    for (const name of ['ChatCompletionRequest', 'ResponseRequest', 'CompletionRequest', 'EmbeddingRequest'])
      for (const [field, schema] of Object.entries(schemaLibrary()[name]!.properties ?? {})) {
        const isReference = JSON.stringify(schema).includes('$ref')
        assert.ok(schema.description ?? (isReference || known.has(field)), `${name}.${field} has no description`)
      }
  })

  it('show examples that they accept', () => {
    const ajv = strictAjv()
    ajv.addSchema({ $id: 'library', definitions: schemaLibrary() })
    const visit = (schema: unknown, where: string) => {
      if (typeof schema !== 'object' || schema === null) return
      const { examples, ...rest } = schema as { examples?: unknown[] }
      const validate =
        examples && ajv.compile(JSON.parse(JSON.stringify(rest).replaceAll('"#/', '"library#/')) as Schema)
      for (const example of examples ?? [])
        assert.ok(validate!(example), `${where}: ${JSON.stringify(validate!.errors)}`)
      for (const [key, value] of Object.entries(rest)) visit(value, `${where}/${key}`)
    }
    for (const [name, schema] of Object.entries(schemaLibrary())) visit(schema, name)
  })

  it('accept the recorded answers of OpenAI', () => {
    const ajv = strictAjv()
    ajv.addSchema({ $id: 'library', definitions: schemaLibrary() })
    const check = (name: string, value: unknown, where: string) => {
      const validate = ajv.getSchema(`library#/definitions/${name}`)!
      assert.ok(validate(value), `${where}: ${JSON.stringify(validate.errors)}`)
    }
    let checked = 0
    for (const file of readdirSync(new URL('exchanges/openai/', fixtures))) {
      const { request, response } = readJson(new URL(`exchanges/openai/${file}`, fixtures))
      if (response.status !== 200) continue
      const streamed = String(response.headers['content-type']).startsWith('text/event-stream')
      const definition = answerDefinition(request.path as string, streamed)
      const records = streamed ? (response.chunks as unknown[]) : [response.body]
      assert.ok(records.length > 0, file)
      for (const record of records) check(definition, record, file)
      checked += records.length
    }
    assert.ok(checked > 50)
  })

  it('accept nothing more once their unions are rewritten', () => {
    const plain = strictAjv().addSchema({ $id: 'library', definitions: schemaLibrary() })
    const chosen = strictAjv().addSchema({ $id: 'library', definitions: withoutUnions(schemaLibrary()) })
    const values = readdirSync(new URL('requests/', fixtures)).flatMap((dialect) =>
      readdirSync(new URL(`requests/${dialect}/`, fixtures)).map((file) =>
        readJson(new URL(`requests/${dialect}/${file}`, fixtures)),
      ),
    )
    const parts = values.flatMap(everyObject)
    assert.ok(parts.length > 500)
    for (const name of [
      'ChatCompletionRequest',
      'ResponseRequest',
      'ChatMessage',
      'ChatToolChoice',
      'ChatTool',
      'ResponseContentPart',
    ])
      for (const value of parts) {
        const isChosen = chosen.getSchema(`library#/definitions/${name}`)!(value)
        if (isChosen) assert.ok(plain.getSchema(`library#/definitions/${name}`)!(value), JSON.stringify(value))
      }
  })

  it('have types that are up to date: run `node core/launch.js --run schemas/generate.ts`', async () => {
    assert.equal(await generateTypes(), currentTypes())
  })
})

function answerDefinition(path: string, streamed: boolean): string {
  const names: Record<string, readonly [whole: string, record: string]> = {
    completions: path.includes('/chat/') ? ['ChatCompletion', 'ChatCompletionChunk'] : ['Completion', 'Completion'],
    responses: ['Response', 'ResponseStreamEvent'],
    embeddings: ['EmbeddingList', ''],
    models: ['ModelList', ''],
  }
  return names[basename(path)]![streamed ? 1 : 0]
}

function everyObject(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return []
  return [value, ...Object.values(value).flatMap(everyObject)]
}
