import { hash } from 'node:crypto'
import type { Principal } from '@hadrian/core/plugin'
import type { Caller } from './caller.ts'
import type { Issuer } from './issuer.ts'

/** A token that was proven not long ago. */
export interface KnownToken {
  readonly issuer: Issuer
  readonly caller: Caller
  /** Milliseconds since 1970. From then on it must be proven again. */
  readonly validUntilMs: number
  /** As of `version` of the identities; undefined if it is refused for an unknown owner. */
  principal: Principal | undefined
  version: number | undefined
}

/**
 * Tokens by their hash, those used last. Two generations: one that fills up, and the one before it, of which what is used
 * moves to the first. Nothing is ever taken out of a map alone, which in a large one costs more than all the rest of a
 * request.
 */
export class TokenCache {
  readonly #mostPerGeneration: number
  #young = new Map<string, KnownToken>()
  #old = new Map<string, KnownToken>()

  /** @param most tokens to keep, some 500 bytes each; at least half as many of those used last are there */
  constructor(most: number) {
    this.#mostPerGeneration = Math.floor(most / 2)
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(token: string, nowMs: number): KnownToken | undefined {
    const key = keyOf(token)
    let known = this.#young.get(key)
    if (!known) {
      known = this.#old.get(key)
      if (known) this.#set(key, known)
    }
    return known !== undefined && known.validUntilMs > nowMs ? known : undefined
  }

  set(token: string, known: KnownToken): void {
    this.#set(keyOf(token), known)
  }

  #set(key: string, known: KnownToken): void {
    if (this.#young.size >= this.#mostPerGeneration) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, known)
  }
}

function keyOf(token: string): string {
  return hash('sha256', token, 'base64url')
}
