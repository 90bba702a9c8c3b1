import type { ObjectSchema } from '@hadrian/core/provider'

const hostDefault = 'The default depends on the host of `base_url`'

/** What an operator sets for one instance. */
export const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    base_url: {
      type: 'string',
      pattern: '^https?://',
      default: 'https://api.openai.com/v1',
      description: 'Root of the API, up to and including the version; `/chat/completions` and the like are appended.',
    },
    ollama_host: {
      type: 'string',
      description:
        'Address of an Ollama server as the OLLAMA_HOST variable has it: scheme and port may be missing. Replaces `base_url`.',
    },
    api_key: {
      type: 'string',
      writeOnly: true,
      description: 'Sent as bearer token, or in `api_key_header`. Local upstreams need none.',
    },
    api_key_header: {
      type: 'string',
      pattern: '^[A-Za-z0-9-]+$',
      description: 'Header that takes the bare key in place of `Authorization: Bearer`, for instance `api-key`.',
    },
    organization: { type: 'string', description: 'Sent as `OpenAI-Organization`.' },
    project: { type: 'string', description: 'Sent as `OpenAI-Project`.' },
    headers: {
      type: 'object',
      additionalProperties: { type: 'string' },
      default: {},
      description: 'More headers for every request.',
    },
    query: {
      type: 'object',
      additionalProperties: { type: 'string' },
      default: {},
      description: 'Query parameters for every request, for instance `api-version`.',
    },
    dialects: {
      type: 'array',
      items: { type: 'string', enum: ['chat', 'responses', 'completions', 'embeddings'] },
      minItems: 1,
      uniqueItems: true,
      description: `APIs the upstream has. ${hostDefault}: all four for OpenAI, all but \`responses\` for any other.`,
    },
    extensions: {
      type: 'array',
      items: { type: 'string' },
      description:
        'Fields beyond the API of OpenAI that the upstream takes: `top_k`, `min_p`, `top_a`, `repetition_penalty`, ' +
        '`reasoning`, `include_reasoning`, `cache_control`, `transforms`. Any other of these is mapped or left out with a ' +
        'warning. None by default.',
    },
    max_tokens_field: {
      type: 'string',
      enum: ['max_tokens', 'max_completion_tokens', 'either'],
      description:
        'Name of the output limit in chat. `either`: as the client wrote it, save for the reasoning models of OpenAI, which ' +
        `take \`max_completion_tokens\` only. ${hostDefault}: \`either\` for OpenAI, \`max_tokens\` for any other.`,
    },
    include_usage: {
      type: 'boolean',
      default: true,
      description: 'Ask for usage in streams. Switch it off for an upstream that refuses `stream_options`.',
    },
    developer_role: {
      type: 'boolean',
      description: `The upstream knows the role \`developer\`; else it becomes \`system\`. ${hostDefault}: true for OpenAI only.`,
    },
    tool_choice: {
      type: 'boolean',
      default: true,
      description: 'The upstream obeys `tool_choice`. If not, `none` is served by sending no tools.',
    },
    choices: {
      type: 'boolean',
      default: true,
      description: 'The upstream makes several choices (`n`) in one call; else the gateway calls it several times.',
    },
    reasoning_history: {
      type: 'string',
      enum: ['none', 'as_sent', 'reasoning', 'reasoning_content', 'reasoning_details'],
      description:
        'The field of an assistant message in which the upstream takes earlier thinking back. `as_sent`: the one the client ' +
        `used. \`none\`: it is left out with a warning. ${hostDefault}: \`none\` for OpenAI, \`as_sent\` for any other.`,
    },
  },
} as const satisfies ObjectSchema
