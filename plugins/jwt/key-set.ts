import type { Clock, Logger } from '@hadrian/core/plugin'
import { createLocalJWKSet } from 'jose'
import type { JSONWebKeySet } from 'jose'
import { fetchJson, withTimeout } from './json-fetch.ts'

/** Less than the kernel gives an `authenticate` hook, for discovery and keys together. */
const timeoutMs = 4000
/** Age from which on keys are fetched again, beside the requests that go on with those known. */
export const refreshAfterMs = 600_000
/** Between two fetches because of a key id that nobody knows: anybody can make one up. */
export const unknownKeyIntervalMs = 30_000
/** Between two fetches while none has ever worked: requests in between are refused without one. */
export const retryIntervalMs = 5000

/** Finds the public key for the header of a token; throws jose's errors. */
export type KeyFinder = ReturnType<typeof createLocalJWKSet>

/** The public keys of an issuer could not be had, so nothing can be said of its tokens. */
export class KeysUnavailable extends Error {}

export interface KeySetOptions {
  readonly issuer: string
  /** Undefined: found by discovery. */
  readonly jwksUrl: string | undefined
  readonly clock: Clock
  readonly logger: Logger
}

/** The public keys of an issuer, fetched now and then; those known go on while it is away, for however long. */
export class KeySet {
  readonly #options: KeySetOptions
  readonly #stopped = new AbortController()
  #finder: KeyFinder | undefined
  /** By `clock.monotonicMs()`; also of a fetch that failed. */
  #fetchedMs = -Infinity
  #failed = false
  #fetching: Promise<void> | undefined

  constructor(options: KeySetOptions) {
    this.#options = options
  }

  /**
   * The keys as they are known.
   *
   * @throws KeysUnavailable if there are none
   */
  async current(): Promise<KeyFinder> {
    const ageMs = this.#options.clock.monotonicMs() - this.#fetchedMs
    if (!this.#finder && ageMs >= retryIntervalMs) await this.#fetch()
    else if (this.#finder && ageMs >= (this.#failed ? unknownKeyIntervalMs : refreshAfterMs)) void this.#fetch()
    // Somebody else's fetch may be under way.
    if (!this.#finder && this.#fetching) await this.#fetching
    if (!this.#finder) throw new KeysUnavailable()
    return this.#finder
  }

  /**
   * Fetches again because a key is not among those known, unless that was done lately.
   *
   * @returns the keys if they may be others now
   * @throws KeysUnavailable if the issuer does not answer: the key may be one of its new ones
   */
  async renewed(): Promise<KeyFinder | undefined> {
    const before = this.#finder
    if (this.#fetching) await this.#fetching
    else if (this.#options.clock.monotonicMs() - this.#fetchedMs >= unknownKeyIntervalMs) await this.#fetch()
    if (this.#failed) throw new KeysUnavailable()
    return this.#finder === before ? undefined : this.#finder
  }

  /** Begins to fetch. An issuer that is away keeps no gateway from starting. */
  start(): void {
    void this.#fetch()
  }

  stop(): void {
    this.#stopped.abort(new Error('the gateway is stopping'))
  }

  /** One at a time. Never rejects. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#load().finally(() => (this.#fetching = undefined))
    return this.#fetching
  }

  async #load(): Promise<void> {
    const { clock, logger, issuer } = this.#options
    try {
      const keys = await withTimeout(clock, timeoutMs, this.#stopped.signal, (signal) => this.#read(signal))
      this.#finder = createLocalJWKSet(keys)
      if (this.#failed) logger.info({ issuer }, 'the keys of the issuer could be read again')
      this.#failed = false
    } catch (error) {
      if (!this.#failed && !this.#stopped.signal.aborted)
        logger.warn({ issuer, error }, 'the keys of the issuer could not be read; going on with those known')
      this.#failed = true
    }
    this.#fetchedMs = clock.monotonicMs()
  }

  async #read(signal: AbortSignal): Promise<JSONWebKeySet> {
    const { issuer, jwksUrl } = this.#options
    const keys = await fetchJson(jwksUrl ?? (await discover(issuer, signal)), signal)
    // Checked by jose, which throws for anything else.
    return keys as JSONWebKeySet
  }
}

async function discover(issuer: string, signal: AbortSignal): Promise<string> {
  const document = (await fetchJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, signal)) as {
    readonly issuer?: unknown
    readonly jwks_uri?: unknown
  } | null
  if (document?.issuer !== issuer) throw new Error('the configuration of the issuer is that of another issuer')
  const { jwks_uri: found } = document
  const url = typeof found === 'string' ? URL.parse(found) : null
  // Keys that come over a weaker line than what names them could be anybody's.
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && issuer.startsWith('http:'))))
    throw new Error('the configuration of the issuer names no usable jwks_uri')
  return url.href
}
