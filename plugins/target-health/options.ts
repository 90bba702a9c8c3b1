import type { OptionsOf, ProviderSummary } from '@hadrian/core/plugin'
import type { BreakerSettings } from './breaker.ts'
import type { CheckSettings } from './checks.ts'
import type { PoolSettings } from './pool.ts'

const share = { type: 'number', minimum: 0.01, maximum: 1 } as const

/** What an operator sets under `[plugins.target-health]`. */
export const optionsSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    breaker: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'When calls of a failing target are held back. Holds for each target by itself.',
      properties: {
        enabled: {
          type: 'boolean',
          default: true,
          description: 'Hold calls back, for failures and for `Retry-After`.',
        },
        failures: { type: 'integer', minimum: 1, default: 10, description: 'Failures in a row that open it.' },
        failure_ratio: {
          ...share,
          default: 0.5,
          description: 'Share of the calls of a window that opens it when they fail.',
        },
        minimum_calls: {
          type: 'integer',
          minimum: 1,
          default: 20,
          description: 'Calls of a window below which that share says nothing.',
        },
        window_seconds: { type: 'integer', minimum: 1, maximum: 3600, default: 30, description: 'The window.' },
        open_seconds: {
          type: 'number',
          minimum: 0.1,
          maximum: 3600,
          default: 5,
          description: 'How long it is open at first; doubled each time the probe fails too.',
        },
        max_open_seconds: {
          type: 'number',
          minimum: 0.1,
          maximum: 86_400,
          default: 120,
          description: 'How long it is open at most.',
        },
        degraded_ratio: {
          ...share,
          default: 0.2,
          description: 'Share of the calls of a window that makes the target `degraded` when they fail: 3 at least.',
        },
      },
    },
    checks: {
      type: 'object',
      default: {},
      description: 'Active health checks, by the name of a provider, or by `provider/model`.',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          kind: {
            enum: ['models', 'completion'],
            default: 'models',
            description: '`models` lists the models. `completion` asks for one token, which costs money.',
          },
          model: {
            type: 'string',
            minLength: 1,
            description: 'The model a `completion` asks, where the check is of a provider.',
          },
          prompt: { type: 'string', minLength: 1, default: 'ping', description: 'What a `completion` asks.' },
          interval_seconds: {
            type: 'number',
            minimum: 1,
            maximum: 86_400,
            default: 60,
            description: 'Time between two checks; a tenth more or less at random.',
          },
          timeout_ms: {
            type: 'integer',
            minimum: 1,
            maximum: 600_000,
            default: 10_000,
            description: 'A check that takes longer has failed.',
          },
          failures: {
            type: 'integer',
            minimum: 1,
            default: 3,
            description: 'Failures in a row that count; one success heals.',
          },
          when_failing: {
            enum: ['degraded', 'open'],
            default: 'degraded',
            description: '`degraded`: tried after all others. `open`: not tried.',
          },
        },
      },
    },
    limits: {
      type: 'object',
      default: {},
      description: 'Concurrent calls of this process, by provider, `provider/model`, or either with a trailing `*`.',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        required: ['concurrent'],
        properties: {
          concurrent: { type: 'integer', minimum: 1, description: 'Calls at the same time, all targets together.' },
          queue: {
            type: 'integer',
            minimum: 0,
            maximum: 100_000,
            default: 100,
            description: 'Calls that may wait where no other target is left.',
          },
          queue_timeout_ms: {
            type: 'integer',
            minimum: 1,
            maximum: 600_000,
            default: 2000,
            description: 'How long they wait.',
          },
        },
      },
    },
    tool_quality: {
      type: 'boolean',
      default: false,
      description: 'Measure how many tool calls are sound, which looks at every event of every answer.',
    },
  },
} as const

/** Validated options. */
export type HealthOptions = OptionsOf<typeof optionsSchema>

/** The options, in the plugin's own terms. */
export interface HealthSettings {
  readonly breaker: BreakerSettings
  readonly checks: ReadonlyMap<string, CheckSettings>
  readonly limits: ReadonlyMap<string, PoolSettings>
}

/**
 * Reads the options.
 *
 * @throws Error that names everything that is wrong with them
 */
export function readOptions(options: HealthOptions, providers: readonly ProviderSummary[]): HealthSettings {
  const wrong: string[] = []
  const names = providers.map(({ name }) => name)
  const known = (option: string, key: string): void => {
    const [provider = ''] = key.split('/')
    const isPrefix = option === 'limits' && key.endsWith('*')
    const matches = names.some(
      (name) => (isPrefix ? `${name}/`.startsWith(key.slice(0, -1)) : false) || name === provider,
    )
    if (!matches) wrong.push(`${option}."${key}": no provider is called so; there are ${names.join(', ') || 'none'}`)
  }
  const checks = new Map<string, CheckSettings>()
  for (const [key, check] of Object.entries(options.checks)) {
    known('checks', key)
    const isTarget = key.includes('/')
    if (isTarget && check.model !== undefined) wrong.push(`checks."${key}".model: the key names the model already`)
    if (check.kind === 'completion' && !isTarget && check.model === undefined)
      wrong.push(`checks."${key}".model: needed for a completion`)
    checks.set(key, {
      kind: check.kind,
      intervalMs: check.interval_seconds * 1000,
      timeoutMs: check.timeout_ms,
      failures: check.failures,
      whenFailing: check.when_failing,
      target: isTarget ? key : `${key}/${check.model ?? ''}`,
      prompt: check.prompt,
    })
  }
  const limits = new Map<string, PoolSettings>()
  for (const [key, { concurrent, queue, queue_timeout_ms: queueTimeoutMs }] of Object.entries(options.limits)) {
    known('limits', key)
    limits.set(key, { concurrent, queue, queueTimeoutMs })
  }
  if (wrong.length > 0) throw new Error(`target-health: ${wrong.join('; ')}`)
  const { breaker } = options
  return {
    breaker: {
      enabled: breaker.enabled,
      failures: breaker.failures,
      failureRatio: breaker.failure_ratio,
      minimumCalls: breaker.minimum_calls,
      windowMs: breaker.window_seconds * 1000,
      openMs: breaker.open_seconds * 1000,
      maxOpenMs: breaker.max_open_seconds * 1000,
      degradedRatio: breaker.degraded_ratio,
    },
    checks,
    limits,
  }
}
