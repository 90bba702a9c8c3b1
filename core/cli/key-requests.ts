/** What the options of `hadrian keys` say, as bodies and queries of the admin API. */

import type { Input } from './command.ts'
import { list, text, UsageError } from './command.ts'

const unitsMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * The body of a request to make a key, checked as far as a typing mistake goes.
 *
 * @throws UsageError as all of these
 */
export function creationBody({ options }: Input): object {
  const name = text(options, 'name')
  const scopes = list(options, 'scope')
  const models = list(options, 'model')
  const expires = text(options, 'expires')
  const owner = ownerOf(options)
  const ranges = list(options, 'ip')
  const budgets = list(options, 'budget').map(budget)
  const limits = list(options, 'limit').map((limit) => assignment(limit, 'limit', 'requests_per_minute=60'))
  return {
    ...(name !== undefined && { name }),
    ...(scopes.length > 0 && { scopes }),
    ...(models.length > 0 && { allowed_models: models }),
    ...(expires !== undefined && { expires_at: expiry(expires) }),
    ...(owner && { owner: { type: owner.type, [`${owner.type}_id`]: owner.id } }),
    ...(ranges.length > 0 && { ip_allowlist: ranges }),
    ...(budgets.length > 0 && { budgets }),
    ...(limits.length > 0 && { rate_limits: Object.fromEntries(limits) }),
  }
}

/** The query of a request to list keys. */
export function listQuery({ options }: Input): Readonly<Record<string, string>> {
  const owner = ownerOf(options)
  return {
    ...(owner && { owner_type: owner.type, owner_id: owner.id }),
    ...(options['active'] === true && { revoked: 'false' }),
  }
}

/** The body of a request to rotate a key. */
export function rotationBody({ options }: Input): object {
  const grace = text(options, 'grace')
  if (grace === undefined) return {}
  const durationMs = duration(grace)
  if (durationMs === undefined)
    throw new UsageError(`"${grace}" is no length of time: write for instance 30m, 24h or 7d`, 'keys')
  return { grace_period_seconds: durationMs / 1000 }
}

function ownerOf(options: Input['options']): { readonly type: string; readonly id: string } | undefined {
  const owner = text(options, 'owner')
  if (owner === undefined) return undefined
  const [, type, id] = /^([a-z_]+):(.+)$/.exec(owner) ?? []
  if (type === undefined || id === undefined)
    throw new UsageError(`"${owner}" is no owner: write for instance project:ID`, 'keys')
  return { type, id }
}

function budget(value: string): object {
  const [period, dollars] = assignment(value, 'budget', 'monthly=100')
  return { period, limit_usd: dollars }
}

function assignment(value: string, what: string, example: string): readonly [string, number] {
  const [, name, amount] = /^([a-z_]+)=(\d+(?:\.\d+)?)$/.exec(value) ?? []
  if (name === undefined) throw new UsageError(`"${value}" is no ${what}: write for instance ${example}`, 'keys')
  return [name, Number(amount)]
}

function expiry(value: string): string {
  const durationMs = duration(value)
  const at = durationMs === undefined ? new Date(value) : new Date(Date.now() + durationMs)
  if (Number.isNaN(at.getTime()))
    throw new UsageError(`"${value}" is no time: write for instance 2030-01-31 or 90d`, 'keys')
  return at.toISOString()
}

/** Milliseconds of `90d`; undefined for anything else. */
function duration(value: string): number | undefined {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(value) ?? []
  return unit === undefined ? undefined : Number(count) * unitsMs[unit]!
}
