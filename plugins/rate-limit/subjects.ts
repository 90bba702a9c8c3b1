import type { Principal, RateLimits, Target } from '@hadrian/core/plugin'
import type { Demand } from './demand.ts'
import { windowKinds } from './window.ts'

/** Limits in the spelling of the config. */
export interface LimitOptions {
  readonly requests_per_minute?: number
  readonly requests_per_day?: number
  readonly tokens_per_minute?: number
  readonly tokens_per_day?: number
  readonly concurrent_requests?: number
}

/** What a caller or a model is under. */
export interface Subjection {
  /** Counted by request, slots included. */
  readonly requests: readonly Demand[]
  /** Counted by token. */
  readonly tokens: readonly Demand[]
}

/** A limit on a model, and how to tell whether a target is one of it. */
export interface ModelRule extends Subjection {
  readonly matches: (target: Target) => boolean
}

/** Limits of a config section. */
export function readLimitOptions(options: LimitOptions): RateLimits {
  return {
    requestsPerMinute: options.requests_per_minute,
    requestsPerDay: options.requests_per_day,
    tokensPerMinute: options.tokens_per_minute,
    tokensPerDay: options.tokens_per_day,
    concurrentRequests: options.concurrent_requests,
  }
}

/** Finds the limits of principals. Those of a principal object are put together once. */
export class Subjects {
  readonly #defaults: RateLimits
  readonly #known = new WeakMap<Principal, Subjection>()

  /** @param defaults hold for each principal that has no limit of its own of the same kind */
  constructor(defaults: RateLimits) {
    this.#defaults = defaults
  }

  of(principal: Principal): Subjection {
    let known = this.#known.get(principal)
    if (!known) {
      known = this.#compile(principal)
      this.#known.set(principal, known)
    }
    return known
  }

  #compile({ id, rateLimits, owners = [] }: Principal): Subjection {
    const parts = [subjection(`key:${id}`, 'key', { ...this.#defaults, ...present(rateLimits) })]
    for (const owner of owners) {
      const { kind, name = owner.id } = owner
      if (
        owner.rateLimits &&
        owners.indexOf(owner) === owners.findIndex((other) => other.kind === kind && other.id === owner.id)
      )
        parts.push(subjection(`${kind}:${owner.id}`, `${kind.replaceAll('_', ' ')} ${name}`, owner.rateLimits))
    }
    return {
      requests: parts.flatMap(({ requests }) => requests),
      tokens: parts.flatMap(({ tokens }) => tokens),
    }
  }
}

/** The limits of models, by name or by a pattern that ends in `*`. */
export function modelRules(models: Readonly<Record<string, LimitOptions>>): readonly ModelRule[] {
  return Object.entries(models).map(([pattern, options]) => ({
    ...subjection(`model:${pattern}`, `model ${pattern}`, readLimitOptions(options)),
    matches: ({ name, requested }) => isNamed(pattern, name) || isNamed(pattern, requested),
  }))
}

function isNamed(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

function subjection(subject: string, scope: string, limits: RateLimits): Subjection {
  const windows = Object.entries(windowKinds).flatMap(([field, kind]): Demand[] => {
    const limit = limits[field as keyof typeof windowKinds]
    return limit === undefined ? [] : [{ subject, scope, limit, kind }]
  })
  const { concurrentRequests: limit } = limits
  return {
    requests: [
      ...windows.filter(({ kind }) => kind!.unit === 'requests'),
      ...(limit === undefined ? [] : [{ subject, scope, limit, kind: undefined }]),
    ],
    tokens: windows.filter(({ kind }) => kind!.unit === 'tokens'),
  }
}

/** Without what is undefined, which would hide a default. */
function present(limits: RateLimits = {}): RateLimits {
  return Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined))
}
