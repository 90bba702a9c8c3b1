/** What the operator sets under `[plugins.moderation]`. */
export const moderationOptions = {
  type: 'object',
  additionalProperties: false,
  properties: {
    engine: {
      enum: ['openai', 'local'],
      default: 'openai',
      description: '`openai` asks a moderation endpoint; `local` looks for `rules`.',
    },
    check: {
      type: 'array',
      items: { enum: ['input', 'output'] },
      minItems: 1,
      uniqueItems: true,
      default: ['input', 'output'],
      description: 'What to judge: prompts, answers or both.',
    },
    mode: {
      enum: ['block', 'alongside'],
      default: 'block',
      description:
        '`block` judges the prompt before the model is called; `alongside` at the same time, and holds the answer back.',
    },
    action: {
      enum: ['refuse', 'warn'],
      default: 'refuse',
      description: '`refuse` answers with `content_blocked`; `warn` lets it through with a warning.',
    },
    on_error: {
      enum: ['refuse', 'allow'],
      default: 'refuse',
      description: 'What becomes of a text that could not be judged.',
    },
    message: {
      type: 'string',
      default: 'The content was blocked by policy',
      description: 'Message of a refusal.',
    },
    show_excerpt: {
      type: 'boolean',
      default: false,
      description: 'Repeat the first 100 characters of a refused prompt in `details.flagged_input`.',
    },
    rules: {
      type: 'object',
      default: {},
      description: 'For `local`: by category, what to look for.',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          words: {
            type: 'array',
            items: { type: 'string', minLength: 1 },
            description: 'Words and phrases, as they stand.',
          },
          patterns: {
            type: 'array',
            items: { type: 'string', minLength: 1 },
            description: 'Regular expressions. Every repetition needs an upper bound.',
          },
          whole_words: {
            type: 'boolean',
            description: 'Find `words` only where no letter, digit or underscore stands beside them; default true.',
          },
          case_sensitive: { type: 'boolean', description: 'Tell capitals from small letters; default false.' },
        },
      },
    },
    api_key: { type: 'string', minLength: 1, writeOnly: true, description: 'Key of the moderation endpoint.' },
    base_url: {
      type: 'string',
      pattern: '^https?://',
      default: 'https://api.openai.com/v1',
      description: 'Where the moderation endpoint is.',
    },
    model: { type: 'string', default: 'omni-moderation-latest', description: 'Model of the moderation endpoint.' },
    categories: {
      type: 'array',
      items: { type: 'string' },
      default: [],
      description: 'Categories of the endpoint that count; empty: all.',
    },
    thresholds: {
      type: 'object',
      additionalProperties: { type: 'number', minimum: 0, maximum: 1 },
      default: {},
      description: "By category, the score from which on it counts, in place of the endpoint's own verdict.",
    },
    images: { type: 'boolean', default: false, description: 'Judge images too, each in a request of its own.' },
    usd_per_request: {
      type: 'number',
      minimum: 0,
      default: 0,
      description: 'What a request of the endpoint costs; charged to the exchange.',
    },
    request_timeout_ms: {
      type: 'integer',
      minimum: 1,
      default: 5000,
      description: 'Deadline of each request of the endpoint.',
    },
    window_chars: {
      type: 'integer',
      minimum: 1,
      default: 500,
      description: 'Characters of a streamed answer that are collected for each request of the endpoint.',
    },
    overlap_chars: {
      type: 'integer',
      minimum: 0,
      default: 100,
      description: 'Characters at the end of a window that wait for the next one and are judged again with it.',
    },
    max_chars: {
      type: 'integer',
      minimum: 1,
      default: 1_000_000,
      description: 'A longer prompt or answer is not sent to the endpoint: it counts as one that could not be judged.',
    },
    cache_seconds: {
      type: 'integer',
      minimum: 0,
      default: 300,
      description: 'How long verdicts of the endpoint hold for the same text of the same caller; 0: not at all.',
    },
    cache_entries: {
      type: 'integer',
      minimum: 1,
      default: 10_000,
      description: 'How many verdicts are kept at most, about 200 bytes each.',
    },
  },
} as const
