import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { docsAsset } from '../../core/http/docs.ts'
import { openApiDocument } from '../../core/http/openapi.ts'

type Json = Record<string, any>

const routes = [
  { method: 'GET', path: '/admin/v1/things/:id/parts/:part_id', scope: 'admin', summary: 'Show a part' },
  { method: 'DELETE', path: '/admin/v1/things/:id/parts/:part_id', scope: 'admin' },
  { method: 'POST', path: '/hooks/in', scope: null, summary: 'Take a call' },
  { method: 'GET', path: '/api/v1/models/*id', scope: 'models', summary: 'Not this one' },
  { method: 'GET', path: '/v1/models', scope: 'models' },
  { method: 'GET', path: '/openapi.json', scope: null },
  { method: 'GET', path: '/api/docs/:asset', scope: null },
] as const

const document = openApiDocument({ version: '1.2.3', routes, serverUrl: 'https://gateway.example' }) as Json

function operations(): [path: string, method: string, operation: Json][] {
  return Object.entries(document['paths'] as Json).flatMap(([path, item]) =>
    Object.entries(item as Json).map(([method, operation]): [string, string, Json] => [
      path,
      method,
      operation as Json,
    ]),
  )
}

function visit(value: unknown, seen: (object: Json, path: string) => void, path = '#'): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) seen(value, path)
  for (const [key, item] of Object.entries(value)) visit(item, seen, `${path}/${key}`)
}

function resolve(pointer: string): unknown {
  let value: unknown = document
  for (const key of pointer.split('/').slice(1)) value = (value as Json | undefined)?.[key]
  return value
}

describe('the OpenAPI document', () => {
  it('has only references that lead somewhere', () => {
    let count = 0
    visit(document, (object, path) => {
      for (const reference of [
        object['$ref'],
        ...Object.values((object['discriminator']?.mapping ?? {}) as Record<string, string>),
      ]) {
        if (reference === undefined) continue
        count++
        assert.match(reference, /^#\/components\/schemas\/\w+$/, path)
        assert.ok(resolve(reference), `${path}: ${reference}`)
      }
    })
    assert.ok(count > 100)
  })

  it('uses every schema', () => {
    const text = JSON.stringify(document)
    for (const name of Object.keys(document['components'].schemas as Json))
      assert.ok(text.includes(`"#/components/schemas/${name}"`), name)
  })

  it('has schemas that are valid in its dialect', () => {
    const ajv = new Ajv2020({ strict: false })
    for (const [name, schema] of Object.entries(document['components'].schemas as Json))
      assert.equal(ajv.validateSchema(schema as Json), true, name)
  })

  it('declares every path parameter, and no other', () => {
    for (const [path, method, operation] of operations()) {
      assert.doesNotMatch(path, /[:*]/)
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const declared = ((operation['parameters'] ?? []) as Json[]).map((parameter) => {
        assert.equal(parameter['in'], 'path')
        assert.equal(parameter['required'], true)
        return parameter['name'] as string
      })
      assert.deepEqual(declared, inPath, `${method} ${path}`)
    }
  })

  it('gives every operation an id of its own, a summary, a listed tag, responses with descriptions', () => {
    const ids = operations().map(([, , operation]) => operation['operationId'] as string)
    assert.equal(new Set(ids).size, ids.length)
    const tags = new Set((document['tags'] as Json[]).map(({ name }) => name as string))
    for (const [path, method, operation] of operations()) {
      assert.match(operation['operationId'], /^\w+$/)
      assert.ok(operation['summary'], path)
      for (const tag of operation['tags'] as string[]) assert.ok(tags.has(tag), tag)
      const codes = Object.keys(operation['responses'] as Json)
      assert.ok(
        codes.some((code) => code.startsWith('2')),
        `${method} ${path}`,
      )
      for (const response of Object.values<Json>(operation['responses'])) assert.ok(response['description'])
    }
  })

  it('names security schemes that exist, and none for open endpoints', () => {
    const schemes = Object.keys(document['components'].securitySchemes as Json)
    assert.deepEqual(
      (document['security'] as Json[]).flatMap((entry) => Object.keys(entry)),
      schemes,
    )
    const open = operations()
      .filter(([, , operation]) => operation['security']?.length === 0)
      .map(([path]) => path)
    assert.deepEqual(open, ['/health', '/health/live', '/health/ready', '/metrics', '/hooks/in'])
  })

  it('lists the endpoints of the kernel and of plugins, without aliases and its own pages', () => {
    assert.deepEqual(Object.keys(document['paths'] as Json), [
      '/api/v1/chat/completions',
      '/api/v1/responses',
      '/api/v1/embeddings',
      '/api/v1/completions',
      '/api/v1/explain',
      '/api/v1/models',
      '/api/v1/models/{id}',
      '/health',
      '/health/live',
      '/health/ready',
      '/metrics',
      '/admin/v1/things/{id}/parts/{part_id}',
      '/hooks/in',
    ])
    assert.equal(document['paths']['/api/v1/models/{id}'].get.summary, 'Show a model')
    assert.deepEqual(Object.keys(document['paths']['/admin/v1/things/{id}/parts/{part_id}'] as Json), ['get', 'delete'])
  })

  it('describes streams and errors of model calls', () => {
    const { responses } = document['paths']['/api/v1/chat/completions'].post as Json
    assert.deepEqual(Object.keys(responses[200].content as Json), ['application/json', 'text/event-stream'])
    assert.deepEqual(Object.keys(responses as Json), [
      '200',
      '400',
      '401',
      '402',
      '403',
      '413',
      '415',
      '429',
      '500',
      '502',
      '503',
      '504',
      'default',
    ])
    const ajv = new Ajv2020({ strict: false })
    ajv.addSchema({ $id: 'document', ...document })
    const isError = ajv.compile({ $ref: 'document#/components/schemas/ErrorResponse' })
    const examples = Object.values<Json>(responses).flatMap(({ content }) =>
      Object.values<Json>(content['application/json'].examples ?? {}),
    )
    assert.ok(examples.length > 15)
    for (const { value } of examples) assert.ok(isError(value), JSON.stringify(isError.errors))
    assert.deepEqual(responses[429].content['application/json'].examples.rate_limit_exceeded.value.error.details, {
      limit: 100,
      retry_after_secs: 30,
      window: 'minute',
    })
  })

  it('carries version, server and the alias', () => {
    assert.equal(document['openapi'], '3.1.0')
    assert.equal(document['info'].version, '1.2.3')
    assert.match(document['info'].description, /`\/v1`/)
    assert.deepEqual(document['servers'], [{ url: 'https://gateway.example' }])
    assert.deepEqual(openApiDocument({ version: '1', routes: [] })['servers'], [{ url: '/' }])
  })

  it('is the same each time', () => {
    assert.deepEqual(openApiDocument({ version: '1.2.3', routes, serverUrl: 'https://gateway.example' }), document)
  })
})

describe('the page of the documentation', () => {
  it('has nothing from elsewhere and no inline script', () => {
    const page = Buffer.from(docsAsset('')!.body).toString()
    assert.equal(docsAsset('')!.contentType, 'text/html; charset=utf-8')
    assert.doesNotMatch(page, /https?:|<script>|<style|\son\w+=/)
    const policy = /content="(default-src[^"]*)"/.exec(page)![1]!
    assert.match(policy, /default-src 'none'; script-src 'self';/)
    for (const [, file] of page.matchAll(/(?:href|src)="\/api\/docs\/([^"]+)"/g)) assert.ok(docsAsset(file!), file!)
  })

  it('serves files of Swagger UI with their types', () => {
    assert.equal(docsAsset('swagger-ui.css')?.contentType, 'text/css; charset=utf-8')
    assert.equal(docsAsset('swagger-ui-bundle.js')?.contentType, 'text/javascript; charset=utf-8')
    assert.ok(docsAsset('swagger-ui-bundle.js')!.body.byteLength > 1_000_000)
    assert.deepEqual(Array.from(docsAsset('favicon-32x32.png')!.body.subarray(1, 4)), [0x50, 0x4e, 0x47])
    assert.match(Buffer.from(docsAsset('page.js')!.body).toString(), /\/openapi\.json/)
  })

  it('serves nothing else', () => {
    for (const path of [
      'package.json',
      'swagger-ui.js',
      'swagger-ui-bundle.js.map',
      '../package.json',
      'swagger-ui.css/',
      './swagger-ui.css',
      '../swagger-ui-dist/swagger-ui.css',
      '..%2fpackage.json',
      '/',
      '/etc/passwd',
      '__proto__',
      'constructor',
      'swagger-ui.css\0',
    ])
      assert.equal(docsAsset(path), undefined, path)
  })
})
