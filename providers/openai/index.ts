import { defineProvider, gatewayError } from '@hadrian/core/provider'
import type { Decoder, Dialect, GenerateRequest, Operation, StreamEvent, Target, Warning } from '@hadrian/core/provider'
import { completionsDecoder, decodeCompletions, decodeEmbeddings } from './completions.ts'
import { instanceHeaders, withHeaders } from './credentials.ts'
import { chatDecoder, decodeChat } from './decode.ts'
import { defaults } from './defaults.ts'
import { encodeChat, encodeRaw } from './encode.ts'
import { decodeError, senselessAnswer } from './errors.ts'
import { modelsRequest } from './models.ts'
import { options } from './options.ts'
import { passes } from './passthrough.ts'
import { quirksOf } from './quirks.ts'
import type { Quirks } from './quirks.ts'
import { decodeResponses, responsesDecoder } from './responses-decode.ts'
import { encodeResponses } from './responses-encode.ts'
import { searchesWeb } from './web-search.ts'

function operationsOf({ paths }: Quirks): readonly Operation[] {
  const generates = paths.chat !== undefined || paths.responses !== undefined
  return [
    ...(generates ? (['generate'] as const) : []),
    ...(paths.completions === undefined ? [] : (['completions'] as const)),
    ...(paths.embeddings === undefined ? [] : (['embeddings'] as const)),
  ]
}

/** The wire that serves a request: the client's own where the upstream has it, else chat, else responses. */
function wireDialect(request: GenerateRequest, { paths }: Quirks): Dialect {
  if (request.operation !== 'generate' || paths[request.dialect] !== undefined) return request.dialect
  return paths.chat === undefined ? 'responses' : 'chat'
}

function encodeBody(
  dialect: Dialect,
  request: GenerateRequest,
  target: Target,
  quirks: Quirks,
): { readonly body: unknown; readonly warnings: readonly Warning[] } {
  if (dialect === 'chat') return encodeChat(request, target, quirks)
  if (dialect === 'responses') return encodeResponses(request, target, quirks)
  return encodeRaw(request, target, quirks)
}

function decodeBody(dialect: string, body: unknown, instance: string): readonly StreamEvent[] {
  if (dialect === 'responses') return decodeResponses(body, instance)
  if (dialect === 'completions') return decodeCompletions(body, instance)
  if (dialect === 'embeddings') return decodeEmbeddings(body, instance)
  return decodeChat(body, instance)
}

function decoderOf(dialect: string, instance: string): Decoder {
  if (dialect === 'responses') return responsesDecoder(instance)
  if (dialect === 'completions') return completionsDecoder(instance)
  if (dialect === 'embeddings') throw senselessAnswer(instance)
  return chatDecoder(instance)
}

export default defineProvider({
  name: 'openai',
  api: 1,
  description: 'api.openai.com and every upstream with an API like it.',
  options,
  defaults,
  setup({ instance, options: settings }) {
    const quirks = quirksOf(settings)
    const headers = instanceHeaders(settings)
    return {
      baseUrl: quirks.baseUrl,
      capabilities: {
        operations: operationsOf(quirks),
        dialects: quirks.paths,
        extensions: [...quirks.extensions],
        passes: (request, target) => passes(request, target, quirks),
        tools: true,
        jsonSchema: true,
        reasoning: true,
        // The Responses API makes one answer per call.
        choices: settings.choices && (quirks.paths.chat !== undefined || quirks.paths.responses === undefined),
        input: ['image', 'audio', 'file'],
        webSearch: (request, target) => searchesWeb(wireDialect(request, quirks), target, quirks),
      },
      encode(request, target) {
        const dialect = wireDialect(request, quirks)
        const path = quirks.paths[dialect]
        if (path === undefined) throw gatewayError('routing_error', `${instance} does not serve ${request.operation}`)
        const { body, warnings } = encodeBody(dialect, request, target, quirks)
        const accept = request.stream ? 'text/event-stream' : 'application/json'
        const wire = {
          method: 'POST',
          path,
          headers: { 'content-type': 'application/json', accept },
          body,
          dialect,
        } as const
        return { wire, warnings }
      },
      decode: (body, wire) => decodeBody(wire.dialect, body, instance),
      decoder: (wire) => decoderOf(wire.dialect, instance),
      decodeError: (status, headers, body) => decodeError(instance, status, headers, body),
      authorize: (wire) => withHeaders(wire, headers),
      models: () => modelsRequest(quirks.query),
    }
  },
})
