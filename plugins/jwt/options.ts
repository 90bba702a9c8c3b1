/** Algorithms with a public key; the others need the issuer's secret. */
export const publicAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const

/** Algorithms with a secret that issuer and gateway share. */
export const secretAlgorithms = ['HS256', 'HS384', 'HS512'] as const

const claim = { type: 'string', minLength: 1, maxLength: 256 } as const
const scopes = { type: 'array', items: { type: 'string', minLength: 1, maxLength: 64 } } as const

const issuerOptions = {
  issuer: {
    type: 'string',
    minLength: 1,
    description: 'The `iss` of its tokens, exactly; a URL, unless `jwks_url` or `secret` is set.',
  },
  audience: {
    type: ['string', 'array'],
    items: { type: 'string', minLength: 1 },
    minLength: 1,
    minItems: 1,
    description: 'The `aud` that tokens for this gateway have, or several of which one must be there.',
  },
  jwks_url: {
    type: 'string',
    pattern: '^https?://',
    description: 'Where the public keys are. Default: what `<issuer>/.well-known/openid-configuration` says.',
  },
  secret: {
    type: 'string',
    minLength: 32,
    writeOnly: true,
    description:
      'A secret shared with the issuer, in place of public keys; then only HS256, HS384 and HS512 are accepted.',
  },
  algorithms: {
    type: 'array',
    items: { enum: [...publicAlgorithms, ...secretAlgorithms] },
    minItems: 1,
    description:
      'Accepted signatures. Default: RS256, RS384, RS512, ES256, ES384, EdDSA; with `secret`, HS256, HS384, HS512.',
  },
  clock_tolerance_seconds: {
    type: 'integer',
    minimum: 0,
    maximum: 600,
    default: 30,
    description: 'How far the clocks of issuer and gateway may be apart, for `exp` and `nbf`.',
  },
  claims: {
    type: 'object',
    additionalProperties: false,
    default: {},
    description: 'Which claim says what: its name, or a path through objects such as `realm_access.roles`.',
    properties: {
      user: { ...claim, default: 'sub', description: 'The user, by the `external_id` that it has in the gateway.' },
      organization: { ...claim, description: 'The organization, by its slug. Default: none is read.' },
      scopes: { ...claim, default: 'scope', description: 'Words in a text, or a list of texts.' },
      models: {
        ...claim,
        description: 'Allowed models, like scopes. Default: none are read, and every model is allowed.',
      },
      name: { ...claim, default: 'name', description: 'Shown to people.' },
    },
  },
  scope_map: {
    type: 'object',
    default: {},
    additionalProperties: { ...scopes, minItems: 1 },
    description:
      'Scopes of the gateway for each value of the scope claim; other values then give none. Without it, values that are scopes of the gateway give themselves, except `admin`.',
  },
  default_scopes: {
    ...scopes,
    description: 'For a token that gives no scopes. Default: all but `admin` without a `scope_map`, none with one.',
  },
  unknown_users: {
    enum: ['refuse', 'allow'],
    default: 'refuse',
    description:
      'Tokens of users, or organizations, that the gateway does not have: refused, or allowed without their limits.',
  },
} as const

/** What the operator sets under `[plugins.jwt]`: one issuer, and more of them in a list. */
export const options = {
  type: 'object',
  additionalProperties: false,
  required: ['issuer', 'audience'],
  properties: {
    ...issuerOptions,
    issuers: {
      type: 'array',
      default: [],
      maxItems: 100,
      description: 'Further issuers, each with the options above.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['issuer', 'audience'],
        properties: issuerOptions,
      },
    },
  },
} as const
