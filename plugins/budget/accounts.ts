import { hash } from 'node:crypto'
import type { BudgetLimit, BudgetPeriod, Principal } from '@hadrian/core/plugin'
import type { Calendar } from './periods.ts'

/** What an account is: whose money, and in which window of which period. */
export interface AccountKey {
  /** A UUID made from the rest. */
  readonly id: string
  /** `principal`, `gateway`, or the kind of an owner. */
  readonly holderKind: string
  readonly holderId: string
  readonly period: BudgetPeriod
  readonly startsAtMs: number
  readonly endsAtMs: number | undefined
}

/** An account and what may be spent from it at the moment. */
export interface AccountTerms {
  readonly key: AccountKey
  readonly limitMicros: number
  /** What may be spent beyond the limit. */
  readonly overageMicros: number
  /** Share of the limit from which on answers carry a warning. */
  readonly warnAt: number
}

/** The limits that come from the options and not with the principal. */
export interface CommonLimits {
  /** For everything that the gateway spends. */
  readonly gateway: readonly BudgetLimit[]
  /** For each principal that has no budgets of its own. */
  readonly principals: readonly BudgetLimit[]
  /** For limits that do not say it themselves. */
  readonly warnAt: number
}

/** The holder of the limits that hold for everything together. */
export const gatewayHolder = { kind: 'gateway', id: 'gateway' } as const

/** Longest name of a holder that is stored; ids are made from the whole of it. */
const longestHolder = 256

interface Remembered {
  readonly terms: readonly AccountTerms[]
  /** When the first of the windows ends. */
  readonly untilMs: number
  readonly sinceMs: number
}

/** Says which accounts an exchange of a principal is charged to. */
export class ApplicableAccounts {
  readonly #calendar: Calendar
  readonly #common: CommonLimits
  readonly #remembered = new WeakMap<Principal, Remembered>()

  constructor(calendar: Calendar, common: CommonLimits) {
    this.#calendar = calendar
    this.#common = common
  }

  /**
   * The accounts of a principal now, its own first, then its owners' from the nearest up, then the gateway's. Remembered
   * by the identity of the principal, which is a new object when its limits were changed.
   */
  of(principal: Principal, nowMs: number): readonly AccountTerms[] {
    const known = this.#remembered.get(principal)
    if (known && nowMs < known.untilMs && nowMs >= known.sinceMs) return known.terms
    const found = new Map<string, AccountTerms>()
    const add = (kind: string, id: string, limits: readonly BudgetLimit[]): void => {
      for (const limit of limits) {
        const terms = this.#termsOf(kind, id, limit, nowMs)
        if (!found.has(terms.key.id)) found.set(terms.key.id, terms)
      }
    }
    const own = principal.budgets ?? []
    add('principal', principal.id, own.length > 0 ? own : this.#common.principals)
    for (const owner of principal.owners ?? []) add(ownerKind(owner.kind), owner.id, owner.budgets ?? [])
    add(gatewayHolder.kind, gatewayHolder.id, this.#common.gateway)
    const terms = [...found.values()]
    this.#remembered.set(principal, {
      terms,
      untilMs: Math.min(...terms.map(({ key }) => key.endsAtMs ?? Infinity)),
      sinceMs: Math.max(0, ...terms.map(({ key }) => key.startsAtMs)),
    })
    return terms
  }

  #termsOf(holderKind: string, holderId: string, limit: BudgetLimit, nowMs: number): AccountTerms {
    const { period } = limit
    const window = this.#calendar.windowOf(period, nowMs)
    return {
      key: {
        id: accountId(holderKind, holderId, period, window.startsAtMs),
        holderKind: storable(holderKind),
        holderId: storable(holderId),
        period,
        ...window,
      },
      limitMicros: limit.limitMicros,
      overageMicros: limit.overageMicros ?? 0,
      warnAt: limit.warnAt ?? this.#common.warnAt,
    }
  }
}

/** An owner whose kind another plugin calls by one of our words must not share the account of that holder. */
function ownerKind(kind: string): string {
  return kind === 'principal' || kind === gatewayHolder.kind ? `owner:${kind}` : kind
}

function accountId(kind: string, id: string, period: BudgetPeriod, startsAtMs: number): string {
  return uuidOf(JSON.stringify([kind, id, period, startsAtMs]))
}

/** A UUID that is the same for the same text. */
export function uuidOf(text: string): string {
  return hash('sha256', text).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
}

/** What PostgreSQL takes as text: without NUL, and no half of a surrogate pair. */
export function storable(text: string): string {
  return text.slice(0, longestHolder).replaceAll('\0', '').toWellFormed()
}
