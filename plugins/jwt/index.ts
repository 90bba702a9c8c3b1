import { definePlugin, gatewayError } from '@hadrian/core/plugin'
import type { GatewayError, Identity, InboundCall } from '@hadrian/core/plugin'
import { principalOf, readCaller } from './caller.ts'
import { Issuer } from './issuer.ts'
import { readIssuers } from './issuer-settings.ts'
import { KeysUnavailable, retryIntervalMs } from './key-set.ts'
import { options as optionsSchema } from './options.ts'
import { longestToken, presentedToken, unproven } from './token.ts'
import { TokenCache } from './token-cache.ts'
import type { KnownToken } from './token-cache.ts'

/** Tokens in memory. */
const mostTokens = 10_000
/** A key that an issuer has withdrawn must not live on in what was proven with it. */
const provenForMs = 600_000

export default definePlugin({
  name: 'jwt',
  api: 1,
  description: 'Bearer tokens of an identity provider: who is calling.',
  options: optionsSchema,
  order: { after: ['identity', 'auth'] },
  requires: ['identity'],

  setup({ options, clock, logger, identity: service }) {
    const identity = service as Identity
    const issuers = new Map(
      readIssuers(options).map((settings) => [settings.issuer, new Issuer(settings, clock, logger)]),
    )
    const cache = new TokenCache(mostTokens)

    const identify = (call: InboundCall, known: KnownToken): void => {
      const { version } = identity
      if (known.version !== version) {
        known.principal = principalOf(known.caller, known.issuer.settings, identity)
        known.version = version
      }
      if (!known.principal) throw refusal()
      call.identify(known.principal)
    }
    const prove = async (call: InboundCall, token: string, issuer: Issuer): Promise<void> => {
      const known = await proven(token, issuer)
      cache.set(token, known)
      identify(call, known)
    }
    const proven = async (token: string, issuer: Issuer): Promise<KnownToken> => {
      let proof
      try {
        proof = await issuer.prove(token)
      } catch (error) {
        if (error instanceof KeysUnavailable) throw unavailable()
        logger.debug({ issuer: issuer.settings.issuer, reason: reasonOf(error) }, 'a token was refused')
        throw refusal()
      }
      const caller = readCaller(proof.claims, issuer.settings)
      if (!caller) {
        logger.debug({ issuer: issuer.settings.issuer, reason: 'claims' }, 'a token was refused')
        throw refusal()
      }
      const validUntilMs = Math.min(proof.validUntilMs, clock.now() + provenForMs)
      return { issuer, caller, validUntilMs, principal: undefined, version: undefined }
    }

    return {
      authenticate(call) {
        const token = presentedToken(call.headers)
        if (token === undefined) return
        if (token.length > longestToken) throw refusal()
        const known = cache.get(token, clock.now())
        if (known) {
          identify(call, known)
          return
        }
        const claimed = unproven(token)
        const issuer = claimed && issuers.get(claimed.issuer)
        if (!issuer) return
        if (claimed.isAmbiguous) throw refusal()
        return prove(call, token, issuer)
      },
      start() {
        for (const issuer of issuers.values()) issuer.start()
      },
      stop() {
        for (const issuer of issuers.values()) issuer.stop()
      },
    }
  },
})

/** The same for whatever is wrong with a token, and the same as for an API key. */
function refusal(): GatewayError {
  return gatewayError('invalid_api_key', 'Invalid API key provided', {
    headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
  })
}

function unavailable(): GatewayError {
  const seconds = Math.ceil(retryIntervalMs / 1000)
  return gatewayError('provider_unavailable', 'The issuer of the token cannot be reached, so it cannot be checked', {
    headers: { 'retry-after': String(seconds) },
    details: { retry_after_secs: seconds },
  })
}

/** The kind of a failure. Not its message, which may have parts of the token in it. */
function reasonOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown'
}
