import { hash } from 'node:crypto'
import type { Principal } from '@hadrian/core/plugin'
import { text, uuidOf } from './values.ts'

/** A principal with the owners it has: a row of `usage_log_callers`. */
export interface Caller {
  /** The same in every instance for the same principal and owners. */
  readonly id: string
  readonly principalId: string
  readonly principalName: string | undefined
  /** `kind:id`, from the nearest up. */
  readonly owners: readonly string[]
}

/** Whoever authenticates keeps the principals of its keys, so the hash is made once for each. */
const known = new WeakMap<Principal, Caller>()

/** The caller that a principal is. */
export function callerOf(principal: Principal): Caller {
  let caller = known.get(principal)
  if (!caller) {
    const principalId = text(principal.id) ?? ''
    const owners = (principal.owners ?? []).map(({ kind, id }) => text(ownerName(kind, id)) ?? '')
    const id = uuidOf(hash('sha256', JSON.stringify([principalId, ...owners])))
    caller = { id, principalId, principalName: text(principal.name), owners }
    known.set(principal, caller)
  }
  return caller
}

/** An owner as the column `owners` has it. */
export function ownerName(kind: string, id: string): string {
  return `${kind}:${id}`
}
