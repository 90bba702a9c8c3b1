import type { OptionsOf } from '@hadrian/core/plugin'

/** Search engines that the gateway can call, in the order in which the first configured one is the default. */
export const engineNames = ['exa', 'tavily', 'brave', 'searxng'] as const

/** A search engine that the gateway can call. */
export type EngineName = (typeof engineNames)[number]

const apiKey = { type: 'string', minLength: 1, writeOnly: true } as const
const costUsd = { type: 'number', minimum: 0, maximum: 1000 } as const
const timeoutMs = {
  type: 'integer',
  minimum: 1,
  default: 4000,
  description: 'Deadline of a search. Keep `timeout_ms` of the plugin, 5000 by default, above it.',
} as const

function baseUrl<const D extends string>(standard: D) {
  return { type: 'string', pattern: '^https?://', default: standard, description: 'Where its API is.' } as const
}

/** What the operator sets under `[plugins.web]`. */
export const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    default_engine: {
      enum: engineNames,
      description:
        'Searches where the client names no engine and a target has no search of its own. Default: the first configured one of exa, tavily, brave, searxng.',
    },
    on_error: {
      enum: ['refuse', 'continue'],
      default: 'refuse',
      description:
        'What a failing engine does: `refuse` fails the request, `continue` asks the model without a search, with a warning.',
    },
    exa: {
      type: 'object',
      additionalProperties: false,
      required: ['api_key'],
      properties: {
        api_key: { ...apiKey, description: 'Sent as x-api-key.' },
        base_url: baseUrl('https://api.exa.ai'),
        cost_usd: {
          ...costUsd,
          description:
            'Price of a search. Default: the list price, 0.007; `deep-lite` and `deep` 0.012, `deep-reasoning` 0.015; each result above ten 0.001.',
        },
        timeout_ms: timeoutMs,
      },
      description: 'Exa.',
    },
    tavily: {
      type: 'object',
      additionalProperties: false,
      required: ['api_key'],
      properties: {
        api_key: { ...apiKey, description: 'Sent as a bearer token.' },
        base_url: baseUrl('https://api.tavily.com'),
        cost_usd: {
          ...costUsd,
          default: 0.008,
          description: 'Price of a search. The default is the list price of one credit.',
        },
        timeout_ms: timeoutMs,
      },
      description: 'Tavily.',
    },
    brave: {
      type: 'object',
      additionalProperties: false,
      required: ['api_key'],
      properties: {
        api_key: { ...apiKey, description: 'Sent as x-subscription-token.' },
        base_url: baseUrl('https://api.search.brave.com'),
        cost_usd: { ...costUsd, default: 0.005, description: 'Price of a search. The default is the list price.' },
        timeout_ms: timeoutMs,
      },
      description: 'Brave Search.',
    },
    searxng: {
      type: 'object',
      additionalProperties: false,
      required: ['base_url'],
      properties: {
        base_url: {
          type: 'string',
          pattern: '^https?://',
          description: 'Where the instance is; `json` must be among its `search.formats`.',
        },
        cost_usd: { ...costUsd, default: 0, description: 'Price of a search.' },
        timeout_ms: timeoutMs,
      },
      description: 'A SearXNG instance of your own.',
    },
  },
} as const

const domains = {
  type: 'array',
  maxItems: 50,
  items: { type: 'string', minLength: 1, maxLength: 253 },
} as const

/** Modes of Exa, and those of engines that are not served here. */
export const exaModes = ['instant', 'fast', 'auto', 'deep-lite', 'deep', 'deep-reasoning'] as const
const otherModes = ['turbo', 'basic', 'advanced'] as const

/** What a client may set in its `plugins` entry. */
export const params = {
  type: 'object',
  additionalProperties: false,
  properties: {
    engine: {
      type: 'string',
      minLength: 1,
      maxLength: 64,
      description:
        '`native`, or an engine that the operator configured. Default: `native` where the target has a search of its own, else the default engine.',
    },
    max_results: { type: 'integer', minimum: 1, maximum: 20, default: 5, description: 'Results put before the model.' },
    search_prompt: {
      type: 'string',
      minLength: 1,
      maxLength: 4000,
      description:
        'What the model is told about the results; `{date}` is the day of the search. Default: to use them, and to cite them with Markdown links named by domain.',
    },
    include_domains: {
      ...domains,
      description: 'Only from here: `example.com` with its subdomains, `*.example.com`, `example.com/blog`.',
    },
    exclude_domains: { ...domains, description: 'Nothing from here.' },
    mode: { enum: [...exaModes, ...otherModes], description: 'How Exa searches; other engines have no modes.' },
    max_uses: {
      type: 'integer',
      minimum: 1,
      maximum: 100,
      description: 'Searches at most, for a native search that can be told.',
    },
    user_location: {
      type: 'object',
      additionalProperties: false,
      required: ['type'],
      properties: {
        type: { const: 'approximate' },
        city: { type: 'string', maxLength: 256 },
        region: { type: 'string', maxLength: 256 },
        country: { type: 'string', maxLength: 256 },
        timezone: { type: 'string', maxLength: 256 },
      },
      description: 'Where the user is, for a native search.',
    },
  },
} as const

/** The operator's options, validated. */
export type Options = OptionsOf<typeof options>

/** A client's params, validated. */
export type Params = OptionsOf<typeof params>
