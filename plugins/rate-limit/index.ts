import { definePlugin } from '@hadrian/core/plugin'
import { Engine } from './engine.ts'
import type { AwayPolicy } from './engine.ts'
import { explainLimits } from './explain.ts'
import { IpLimit } from './ip-limit.ts'
import { Limiter } from './limiter.ts'
import { usageRoutes } from './routes.ts'
import { Store } from './store.ts'
import { modelRules, readLimitOptions, Subjects } from './subjects.ts'

const limitProperties = {
  requests_per_minute: { type: 'integer', minimum: 0, description: 'Requests in any 60 seconds.' },
  requests_per_day: { type: 'integer', minimum: 0, description: 'Requests in any 24 hours.' },
  tokens_per_minute: { type: 'integer', minimum: 0, description: 'Tokens of input and output in any 60 seconds.' },
  tokens_per_day: { type: 'integer', minimum: 0, description: 'Tokens of input and output in any 24 hours.' },
  concurrent_requests: { type: 'integer', minimum: 0, description: 'Requests at the same time.' },
} as const

export default definePlugin({
  name: 'rate-limit',
  api: 1,
  description: 'Limits on requests, tokens and concurrency.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      ...limitProperties,
      estimated_output_tokens: {
        type: 'integer',
        minimum: 1,
        default: 1000,
        description: 'Output tokens to reserve for a request that sets no maximum of its own.',
      },
      models: {
        type: 'object',
        description: 'Limits over all callers, by requested name or `provider/model`; a trailing `*` matches any rest.',
        additionalProperties: {
          type: 'object',
          additionalProperties: false,
          properties: limitProperties,
        },
      },
      ip: {
        type: 'object',
        description: 'Limits for each address on calls without valid credentials, on each instance alone.',
        additionalProperties: false,
        properties: {
          requests_per_minute: { type: 'integer', minimum: 1, description: 'Calls in any 60 seconds.' },
          requests_per_hour: { type: 'integer', minimum: 1, description: 'Calls in any 60 minutes.' },
        },
      },
      database_away: {
        type: 'string',
        enum: ['local', 'refuse'],
        default: 'local',
        description:
          'What to do beyond leased units while the database is away: enforce a share of each limit, or refuse.',
      },
      database_away_seconds: {
        type: 'integer',
        minimum: 0,
        default: 900,
        description: 'For how long `local` goes on; then requests under a limit are refused.',
      },
    },
  },
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, clock, logger, retain, meter }) {
    const away: AwayPolicy = { mode: options.database_away, forMs: options.database_away_seconds * 1000 }
    const engine = retain(
      'rate-limit',
      () => new Engine({ store: new Store(db, crypto.randomUUID()), clock, logger, away }),
    )
    const limiter = new Limiter({
      engine,
      clock,
      subjects: new Subjects(readLimitOptions(options)),
      models: modelRules(options.models ?? {}),
      estimatedOutputTokens: options.estimated_output_tokens,
      refusals: meter.createCounter('hadrian.rate_limit.refusals', {
        description: 'Requests refused by a rate limit',
        unit: '{request}',
      }),
    })
    // A gateway that only looks at its config must not open the database for it.
    let isStarted = false
    const ip = options.ip ? retain('rate-limit-ip', () => new IpLimit(clock)) : undefined
    return {
      ...(ip && { receive: (call) => ip.receive(call, options.ip ?? {}) }),
      admit: (exchange) => limiter.admit(exchange),
      reserve: (exchange, call) => limiter.reserve(exchange, call),
      settle: (exchange, outcome) => limiter.settle(exchange, outcome),
      explain: (exchange) =>
        explainLimits(limiter.limitsOf(exchange), { engine, clock, database: isStarted ? db : undefined }),
      routes: usageRoutes(db, clock),
      start() {
        isStarted = true
        engine.configure(away)
      },
    }
  },
})
