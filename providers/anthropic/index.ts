import { defineProvider } from '@hadrian/core/provider'

import { decode, MessageDecoder } from './decode.ts'
import { encode, type EncodeOptions } from './encode.ts'
import { decodeError } from './errors.ts'
import { modelsRequest } from './models.ts'
import { withRemoteMedia } from './remote-media.ts'
import { searchesWeb } from './web-search.ts'

export default defineProvider({
  name: 'anthropic',
  api: 1,
  description: 'The Anthropic Messages API.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      api_key: {
        type: 'string',
        writeOnly: true,
        description: 'Sent as x-api-key. Leave it out for a proxy that has its own.',
      },
      base_url: {
        type: 'string',
        default: 'https://api.anthropic.com',
        description: 'Where /v1/messages is, without /v1.',
      },
      version: { type: 'string', default: '2023-06-01', description: 'Sent as anthropic-version.' },
      beta: {
        type: 'array',
        items: { type: 'string' },
        default: [],
        description: 'Features to switch on, sent as anthropic-beta.',
      },
      headers: {
        type: 'object',
        additionalProperties: { type: 'string', writeOnly: true },
        description: 'More headers for every request; they win over the ones above.',
      },
      default_max_tokens: {
        type: 'integer',
        minimum: 1,
        default: 8192,
        description: 'Output limit, which this API demands, where neither the client nor the catalog has one.',
      },
      models: {
        type: 'object',
        additionalProperties: {
          type: 'object',
          additionalProperties: false,
          properties: {
            thinking: {
              enum: ['none', 'budget', 'either', 'adaptive'],
              description: 'How the model is told to think: by a token budget, by an effort (adaptive), by either.',
            },
            sampling: {
              enum: ['free', 'single', 'fixed'],
              description: 'Takes temperature and top_p together, only one of them, or neither.',
            },
            structured_output: { type: 'boolean', description: 'Takes JSON schemas natively.' },
          },
        },
        description:
          'What models can do, by name or by a prefix ending in *, where the table of the package is wrong or lacks them.',
      },
    },
  },
  defaults: [{ instance: 'anthropic', environment: { ANTHROPIC_API_KEY: 'api_key' } }],
  setup({ instance, options, fetch }) {
    const encodeOptions: EncodeOptions = {
      version: options.version,
      beta: options.beta,
      defaultMaxTokens: options.default_max_tokens,
      traits: options.models ?? {},
    }
    const added = Object.fromEntries(
      Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
    )
    const credentials: Record<string, string> = options.api_key === undefined ? {} : { 'x-api-key': options.api_key }
    return {
      capabilities: {
        operations: ['generate'],
        dialects: {},
        tools: true,
        jsonSchema: true,
        reasoning: true,
        input: ['image', 'file'],
        webSearch: (_request, target) => searchesWeb(target),
      },
      baseUrl: options.base_url.replace(/\/+$/, ''),
      prepare: (request, _target, signal) => withRemoteMedia(request, fetch, signal),
      encode: (request, target) => encode(request, target, encodeOptions),
      decode: (body, wire) => decode(instance, body, wire),
      decoder: (wire) => new MessageDecoder(instance, wire),
      decodeError: (status, headers, body) => decodeError(instance, status, headers, body),
      authorize: (wire) => ({ ...wire, headers: { ...wire.headers, ...credentials, ...added } }),
      models: () => modelsRequest(options.version),
    }
  },
})
