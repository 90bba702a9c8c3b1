/** Builds `/openapi.json` from the schema library and the routes that exist. */

import type { JsonObject } from '../contract/canonical.ts'
import { errorCodes, errorType } from '../contract/errors.ts'
import type { Route } from '../contract/plugin.ts'
import { kernelOperations } from './openapi-operations.ts'
import type { KernelOperation } from './openapi-operations.ts'
import { mapReferences, schemaLibrary, taggedUnion } from '../services/schema-library.ts'

/** What {@link openApiDocument} describes besides the kernel's own endpoints. */
export interface OpenApiOptions {
  /** Version of the gateway. */
  readonly version: string
  /** Routes of plugins. Paths that the kernel documents itself, and the `/v1` alias, are left out. */
  readonly routes: readonly Pick<Route, 'method' | 'path' | 'summary' | 'scope'>[]
  /** Where the gateway is reached. Default: where the document was loaded from. */
  readonly serverUrl?: string
}

const description = `One OpenAI-compatible API in front of every model provider.

Every path under \`/api/v1\` exists under \`/v1\` too, so the base URL of an OpenAI SDK may end in either.

Every answer carries \`X-Request-Id\`; answers of models also \`X-Provider\` and \`X-Model\`. The header
\`X-Hadrian-Metadata: enabled\` adds \`hadrian_metadata\` to the answer: how it was routed and what ran.`

/** The OpenAPI 3.1 document. Called once at startup, and again when the routes change. */
export function openApiDocument({ version, routes, serverUrl = '/' }: OpenApiOptions): JsonObject {
  const paths: Record<string, Record<string, JsonObject>> = {}
  const add = (method: string, path: string, operation: JsonObject) => {
    const item = (paths[path] ??= {})
    item[method.toLowerCase()] ??= operation
  }
  for (const operation of kernelOperations) add(operation.method, operation.path, describeOperation(operation))
  for (const route of routes) {
    const path = route.path.replaceAll(/[:*](\w+)/g, '{$1}')
    if (!path.startsWith('/v1/') && !kernelPages.has(path)) add(route.method, path, describeRoute(route, path))
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Hadrian', version, description, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: serverUrl }],
    security: [{ bearer: [] }, { apiKey: [] }],
    tags: [...new Set(Object.values(paths).flatMap((item) => Object.values(item).flatMap(tagsOf)))].map((name) => ({
      name,
    })),
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'A key of the gateway, as `Authorization: Bearer KEY`.',
        },
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'X-API-Key',
          description: 'The same key in a header of its own.',
        },
      },
    },
  }
}

/** Routes that serve this document and its page. */
const kernelPages = new Set(['/openapi.json', '/api/docs', '/api/docs/{asset}'])

function tagsOf(operation: JsonObject): readonly string[] {
  return operation['tags'] as readonly string[]
}

function describeOperation(operation: KernelOperation): JsonObject {
  const { id, tag, summary, description: text, path, request, open, errors } = operation
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(text !== undefined && { description: text }),
    ...pathParameters(path),
    ...(open && { security: [] }),
    ...(request !== undefined && {
      requestBody: { required: true, content: { 'application/json': { schema: componentReference(request) } } },
    }),
    responses: { 200: successOf(operation), ...errorResponses(errors) },
  }
}

function successOf({ response, streamed }: KernelOperation): JsonObject {
  if (response === undefined) return { description: 'OK', content: { 'text/plain': { schema: { type: 'string' } } } }
  return {
    description: streamed === undefined ? 'OK' : 'The whole answer, or its events as they come',
    content: {
      'application/json': { schema: componentReference(response) },
      ...(streamed !== undefined && { 'text/event-stream': { schema: componentReference(streamed) } }),
    },
  }
}

function describeRoute(
  { method, path: pattern, summary, scope }: OpenApiOptions['routes'][number],
  path: string,
): JsonObject {
  const failures = scope === null ? [] : (['missing_credentials', 'invalid_api_key', 'insufficient_scope'] as const)
  return {
    operationId: `${method.toLowerCase()}${pattern.replaceAll(/\W+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    tags: [tagOf(path)],
    summary: summary ?? `${method} ${path}`,
    ...(scope !== null && { description: `Needs the scope \`${scope}\`.` }),
    ...pathParameters(path),
    ...(scope === null && { security: [] }),
    ...(['POST', 'PUT', 'PATCH'].includes(method) && {
      requestBody: { content: { 'application/json': { schema: { type: 'object' } } } },
    }),
    responses: {
      '2XX': { description: 'OK', content: { 'application/json': { schema: {} } } },
      ...errorResponses(failures),
    },
  }
}

/** One group for each resource of the admin API: `Admin: budgets`. */
function tagOf(path: string): string {
  const [, resource] = /^\/admin\/v1\/([^/]+)/.exec(path) ?? []
  return resource === undefined ? 'Plugins' : `Admin: ${resource}`
}

function pathParameters(path: string): { readonly parameters?: readonly JsonObject[] } {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
  if (names.length === 0) return {}
  return { parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })) }
}

/** Codes with one status share a response; each is an example. `default` stands for the failures any request can have. */
function errorResponses(codes: readonly (keyof typeof errorCodes)[]): JsonObject {
  const byStatus = Map.groupBy(codes, (code) => errorCodes[code].status)
  const responses = [...byStatus].map(([status, group]) => [status, errorResponse(group)] as const)
  const fallback = { description: 'Any other failure has the same form.', content: errorContent({}) }
  return Object.fromEntries([...responses, ['default', fallback]])
}

function errorResponse(codes: readonly (keyof typeof errorCodes)[]): JsonObject {
  const examples = codes.map((code) => [code, { summary: code, value: exampleOf(code) }] as const)
  return {
    description: codes
      .map((code) => `\`${code}\`: ${errorCodes[code].meaning} ${errorCodes[code].remedy}`)
      .join('\n\n'),
    content: errorContent({ examples: Object.fromEntries(examples) }),
  }
}

function errorContent(examples: JsonObject): JsonObject {
  return { 'application/json': { schema: componentReference('ErrorResponse'), ...examples } }
}

/** Messages and details where an example says more than the meaning of the code. */
const exampleErrors: Readonly<Record<string, JsonObject>> = {
  invalid_request_error: {
    message: 'temperature must be at most 2',
    param: 'temperature',
    details: { errors: [{ path: 'temperature', message: 'must be at most 2' }] },
  },
  routing_error: { message: "Model 'invalid-model' not found", param: 'model' },
  invalid_api_key: { message: 'Invalid API key provided' },
  budget_exceeded: { message: 'Budget limit exceeded for monthly period' },
  rate_limit_exceeded: {
    message: 'Rate limit exceeded: 100 requests per minute',
    details: { limit: 100, retry_after_secs: 30, window: 'minute' },
  },
  provider_error: { message: 'Upstream provider returned error: Service temporarily unavailable' },
}

function exampleOf(code: keyof typeof errorCodes): JsonObject {
  const { meaning, status } = errorCodes[code]
  return {
    error: {
      type: errorType(status),
      code,
      message: meaning,
      param: null,
      request_id: '550e8400-e29b-41d4-a716-446655440000',
      ...exampleErrors[code],
    },
  }
}

function componentReference(name: string): JsonObject {
  return { $ref: `#/components/schemas/${name}` }
}

/** The library in the words of OpenAPI: unions name the schema that each tag stands for. */
function componentSchemas(): JsonObject {
  const library = schemaLibrary()
  const shown = Object.entries(library).filter(([name]) => name !== 'Extensions' && name !== 'PackageField')
  return Object.fromEntries(
    shown.map(([name, schema]) => {
      const union = taggedUnion(schema, library)
      const tags = union?.members.flatMap(({ reference, tags }) =>
        tags.filter((tag) => typeof tag === 'string').map((tag) => [tag, toComponent(reference)] as const),
      )
      const mapping = tags && { discriminator: { propertyName: union!.property, mapping: Object.fromEntries(tags) } }
      return [name, mapReferences({ ...schema, ...mapping }, toComponent)]
    }),
  )
}

function toComponent(reference: string): string {
  return reference.replace('#/definitions/', '#/components/schemas/')
}
