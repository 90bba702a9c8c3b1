/** The options of the plugin, as JSON Schema. */
export const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    built_in: {
      type: 'boolean',
      default: true,
      description: 'Know what the models of the large providers can do.',
    },
    providers: {
      type: 'object',
      additionalProperties: { type: 'string', minLength: 1 },
      default: {},
      description:
        'Whose models provider instances serve, where the base URL does not say: `{ proxy = "openai" }`. Names are those of genai-prices.',
    },
    refresh_interval_ms: {
      type: 'integer',
      minimum: 1000,
      default: 300_000,
      description: 'How often all entries are read again, whether the database told of a change or not.',
    },
  },
} as const
