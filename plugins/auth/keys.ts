import { hash, randomBytes } from 'node:crypto'

/** How every key of this plugin begins; other tokens belong to somebody else. */
export const keyFamily = 'gw_'

const keyStart = 'gw_live_'
const keyShape = /^gw_live_[\w-]{43}$/

/** A new secret: `gw_live_` and 32 random bytes as 43 base64url characters. */
export function createKey(): string {
  return keyStart + randomBytes(32).toString('base64url')
}

/** Whether a token is written like a key. Says nothing of whether there is such a key. */
export function isKey(token: string): boolean {
  return keyShape.test(token)
}

/**
 * SHA-256 of the whole key, hexadecimal: what is stored and looked up. No salt and no slow hash, since 256 random bits
 * can be neither guessed nor listed.
 */
export function hashOf(key: string): string {
  return hash('sha256', key)
}

/** The part of a key that may be shown: `gw_live_` and four of its 43 characters. */
export function prefixOf(key: string): string {
  return key.slice(0, keyStart.length + 4)
}
