import type { ObjectSchema } from '@hadrian/core/plugin'

const names = { type: 'array', items: { type: 'string', minLength: 1 } } as const

/** What the operator sets under `[plugins.router]`. */
export const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    prefer: {
      ...names,
      default: [],
      description: 'Targets to try first, best first: names of providers, or `provider/model` with `*` for any text.',
    },
    exclude: {
      ...names,
      default: [],
      description: 'Targets never to try, written as in `prefer`.',
    },
    balance: {
      enum: ['price', 'weights', 'order'],
      default: 'price',
      description:
        'Which of several equal targets of a model is tried first. `weights`: one at random by `weights`. `price`: the ' +
        'same where a target has a weight, else one at random, likelier the cheaper it is, where all prices are known. ' +
        '`order`: the first in the config, always.',
    },
    weights: {
      type: 'object',
      additionalProperties: { type: 'number', minimum: 0, maximum: 1_000_000 },
      default: {},
      description:
        'Shares of the calls, by provider or `provider/model`: `{ azure = 3, openai = 1 }`. Wins over `weight` of a model.',
    },
    sort: {
      enum: ['price', 'throughput', 'latency', 'exacto'],
      description: 'As `provider.sort` of a request, for requests that have none.',
    },
    only: {
      ...names,
      minItems: 1,
      description: 'Slugs of the only providers that may serve; `provider.only` of a request can only narrow it.',
    },
    ignore: {
      ...names,
      default: [],
      description: 'Slugs of providers that may not serve, beside those in `provider.ignore` of a request.',
    },
    data_collection: {
      enum: ['allow', 'deny'],
      default: 'allow',
      description: '`deny`: for every request, whatever it says itself.',
    },
    zdr: {
      type: 'boolean',
      default: false,
      description: 'Zero data retention for every request, whatever it says itself.',
    },
    transient_retention_days: {
      type: 'integer',
      minimum: 0,
      default: 0,
      description: 'Prompts kept no longer than this many days do not count as collected. `zdr` always means 0.',
    },
    sticky_idle_ms: {
      type: 'integer',
      minimum: 0,
      default: 600_000,
      description: 'How long a conversation without calls stays at the target whose cache it used. 0: never.',
    },
  },
} as const satisfies ObjectSchema
