const amount = (description: string) => ({ type: 'number', minimum: 0, description }) as const

const tokenPrices = {
  input_per_million: amount('Per million input tokens.'),
  output_per_million: amount('Per million output tokens.'),
  cached_input_per_million: amount('Per million input tokens read from the cache of the provider.'),
  cache_write_per_million: amount('Per million input tokens written to the cache of the provider.'),
  cache_write_1h_per_million: amount('Per million input tokens written to the cache of the provider for an hour.'),
  reasoning_per_million: amount('Per million output tokens spent on thinking.'),
  audio_input_per_million: amount('Per million input tokens of audio.'),
  audio_output_per_million: amount('Per million output tokens of audio.'),
} as const

/** The options of the plugin, as JSON Schema. */
export const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    built_in: {
      type: 'boolean',
      default: true,
      description: 'Know the public prices of the large providers.',
    },
    providers: {
      type: 'object',
      additionalProperties: { type: 'string', minLength: 1 },
      default: {},
      description:
        'Price lists of provider instances, where the base URL does not say which one it is: `{ local = "openai" }`.',
    },
    free: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      default: [],
      description:
        'Provider instances whose calls cost nothing: a model server of your own. Those of type `test` always do.',
    },
    unknown: {
      enum: ['allow', 'refuse', 'default'],
      default: 'allow',
      description: 'What to do where no price is known: call free of charge, do not call, or charge `default_prices`.',
    },
    default_prices: {
      type: 'object',
      additionalProperties: false,
      required: ['input_per_million', 'output_per_million'],
      description: 'Dollars to charge where no price is known, spelled as in `[models.NAME.prices]`.',
      properties: {
        ...tokenPrices,
        per_request: amount('Per call.'),
        per_image: amount('Per image of the request.'),
        tiers: {
          type: 'array',
          description: 'Prices of calls with a long input.',
          items: {
            type: 'object',
            additionalProperties: false,
            required: ['above_input_tokens', 'input_per_million', 'output_per_million'],
            properties: {
              above_input_tokens: { type: 'integer', minimum: 0, description: 'Input tokens.' },
              ...tokenPrices,
            },
          },
        },
      },
    },
    reported_cost: {
      enum: ['ignore', 'prefer'],
      default: 'ignore',
      description: 'Whether what an upstream says a call cost is charged in place of tokens times prices.',
    },
  },
} as const
