import { knownScopes } from './scopes.ts'

/** A secret of the operator's choosing goes through headers, and must not be guessed. */
const secret = { type: 'string', minLength: 32, maxLength: 512, pattern: '^[!-~]*$', writeOnly: true } as const
const texts = { type: 'array', items: { type: 'string' }, minItems: 1 } as const

/** What the operator sets under `[plugins.auth]`. What it says of a key is read further by `readDeclaredKeys`. */
export const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    refresh_interval_ms: {
      type: 'integer',
      minimum: 1000,
      default: 300_000,
      description:
        'How often all keys are read again, as a safety net: changes are told by the database and take effect at once.',
    },
    bootstrap_key: {
      ...secret,
      description:
        'A key with every scope, `admin` too, for automation: 32 to 512 printable characters without spaces. No first key is made then.',
    },
    keys: {
      type: 'object',
      default: {},
      description: 'Keys that stand in the config, by name. Their spend and limits are counted by the name.',
      propertyNames: { pattern: '^[A-Za-z0-9][\\w.-]{0,63}$' },
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        required: ['key'],
        properties: {
          key: { ...secret, description: 'The secret: 32 to 512 printable characters without spaces.' },
          scopes: {
            type: 'array',
            items: { enum: knownScopes },
            minItems: 1,
            description: 'Default: all but `admin`.',
          },
          allowed_models: { ...texts, description: 'Model names and `prefix*` patterns. Default: every model.' },
          owner: {
            type: 'string',
            description:
              '`organization:acme`, `project:acme/search` (and `team:`, `service_account:`), `user:` and an `external_id`; or an id.',
          },
          ip_allowlist: { ...texts, description: 'IP addresses and CIDR ranges. Default: every address.' },
          budgets: {
            type: 'array',
            items: { type: 'object' },
            description: '`[{ period = "monthly", limit_usd = 100 }]`, as in the admin API.',
          },
          rate_limits: { type: 'object', description: '`{ requests_per_minute = 60 }`, as in the admin API.' },
          expires_at: { type: 'string', description: 'A date, or a time with its zone.' },
        },
      },
    },
  },
} as const
