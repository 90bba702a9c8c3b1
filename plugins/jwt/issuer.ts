import type { Clock, JsonObject, Logger } from '@hadrian/core/plugin'
import { errors, jwtVerify } from 'jose'
import type { JWTVerifyOptions } from 'jose'
import type { IssuerSettings } from './issuer-settings.ts'
import { KeySet } from './key-set.ts'
import type { KeyFinder } from './key-set.ts'

/** Keys of a set that are tried for a token that does not say which is its own. */
const mostKeysTried = 10

/** The claims of a token that has been proven. */
export interface Proven {
  readonly claims: JsonObject
  /** Milliseconds since 1970, the tolerance included. */
  readonly validUntilMs: number
}

/** Proves the tokens of one issuer. */
export class Issuer {
  readonly settings: IssuerSettings
  readonly #clock: Clock
  readonly #keys: KeySet | undefined

  constructor(settings: IssuerSettings, clock: Clock, logger: Logger) {
    this.settings = settings
    this.#clock = clock
    const { issuer, jwksUrl, secret } = settings
    this.#keys = secret === undefined ? new KeySet({ issuer, jwksUrl, clock, logger }) : undefined
  }

  /**
   * Resolves to the claims of a token that is genuine, for this gateway, and valid now.
   *
   * @throws KeysUnavailable, or an error of jose that says what is wrong with the token
   */
  async prove(token: string): Promise<Proven> {
    const { settings } = this
    const { payload } = settings.secret
      ? await jwtVerify(token, settings.secret, this.#rules())
      : await this.#proveByKeys(token, this.#keys!)
    return { claims: payload, validUntilMs: (payload.exp! + settings.clockToleranceSeconds) * 1000 }
  }

  /** Fetches the keys, which the first token need not wait for then. */
  start(): void {
    this.#keys?.start()
  }

  stop(): void {
    this.#keys?.stop()
  }

  async #proveByKeys(token: string, keys: KeySet): ReturnType<typeof jwtVerify> {
    const known = await keys.current()
    try {
      return await this.#proveWith(token, known)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      const renewed = await keys.renewed()
      if (!renewed) throw error
      return this.#proveWith(token, renewed)
    }
  }

  async #proveWith(token: string, find: KeyFinder): ReturnType<typeof jwtVerify> {
    try {
      return await jwtVerify(token, find, this.#rules())
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
      let tried = 0
      for await (const key of error) {
        if (++tried > mostKeysTried) break
        try {
          return await jwtVerify(token, key, this.#rules())
        } catch (failure) {
          if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
        }
      }
      throw error
    }
  }

  #rules(): JWTVerifyOptions {
    const { issuer, audience, algorithms, clockToleranceSeconds } = this.settings
    return {
      issuer,
      audience: [...audience],
      algorithms: [...algorithms],
      clockTolerance: clockToleranceSeconds,
      currentDate: new Date(this.#clock.now()),
      // A token without an end could never be taken back.
      requiredClaims: ['exp'],
    }
  }
}
