/**
 * The client for URLs that come from requests: images, files, search results, webhooks. It must not become a way into the
 * operator's network, so every address is checked before it is dialled, and the connection goes to the checked address.
 * Services that the operator named (`trusted`) may stand anywhere, but lead nowhere else.
 */

import { lookup } from 'node:dns/promises'
import { gatewayError, isGatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { Clock, FetchedResource, FetchOptions, SafeFetch } from '../contract/plugin.ts'
import { addressPolicy, anyAddress, literalAddress } from './address.ts'
import type { AddressPolicy } from './address.ts'
import { fetchOnce } from './fetch-connection.ts'
import { checkHeaders, parseTarget, redirectOf, unusable } from './fetch-request.ts'
import type { FetchCall } from './fetch-request.ts'
import { untilAborted } from './until-aborted.ts'

/** All addresses of a host name, as the system resolves it. Replaced in tests. */
export type Resolve = (hostname: string) => Promise<readonly string[]>

/** What {@link createSafeFetch} works with. */
export interface SafeFetchOptions {
  /** Host names, addresses or ranges that may be called although they are not public. */
  readonly allow?: readonly string[]
  readonly clock: Clock
  readonly resolve?: Resolve
}

/** A {@link SafeFetch} that can be shut down. */
export interface ClosableSafeFetch extends SafeFetch {
  /** Ends all calls under way with `shutting_down`; later calls fail the same way. */
  close(): void
}

const defaultTimeoutMs = 10_000
const defaultLimitBytes = 20 * 1024 * 1024
const defaultMaxRedirects = 3

/**
 * Makes the SSRF-safe `fetch` service. Throws a `TypeError` for an entry of `allow` that is no host name or range.
 *
 * Beyond the contract: redirects are followed by hand, each checked like the first URL, and lose the caller's headers
 * when they leave the origin; bodies are asked for and accepted only without content encoding; `accept` is checked on
 * successful answers only. An aborted `signal` rejects with its own reason.
 */
export function createSafeFetch({ allow, clock, resolve = resolveBySystem }: SafeFetchOptions): ClosableSafeFetch {
  const policy = addressPolicy(allow)
  const active = new Set<AbortController>()
  let isClosed = false

  async function safeFetch(url: string, options: FetchOptions = {}): Promise<FetchedResource> {
    if (isClosed) throw stopping()
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs
    const controller = new AbortController()
    const { signal } = controller
    const cancelTimer = clock.after(timeoutMs, () => {
      const message = `The URL did not answer completely within ${timeoutMs} ms`
      controller.abort(options.trusted ? gatewayError('provider_timeout', message) : unusable(message))
    })
    const onAbort = () => controller.abort(options.signal?.reason)
    if (options.signal?.aborted) onAbort()
    options.signal?.addEventListener('abort', onAbort, { once: true })
    active.add(controller)
    try {
      signal.throwIfAborted()
      return await follow(url, options, signal)
    } catch (error) {
      signal.throwIfAborted()
      const failure = isGatewayError(error) ? error : unusable('The URL could not be fetched', error)
      throw options.trusted ? blamedOnService(failure) : failure
    } finally {
      active.delete(controller)
      options.signal?.removeEventListener('abort', onAbort)
      cancelTimer()
    }
  }

  async function follow(url: string, options: FetchOptions, signal: AbortSignal): Promise<FetchedResource> {
    let call: FetchCall = {
      url: parseTarget(url),
      method: options.method ?? 'GET',
      headers: checkHeaders(options.headers ?? {}),
      body: options.body,
    }
    const { origin } = call.url
    const allowed = options.trusted ? anyAddress : policy
    const limits = { limitBytes: options.limitBytes ?? defaultLimitBytes, accept: options.accept }
    for (let left = options.maxRedirects ?? defaultMaxRedirects; ; left--) {
      // DNS cannot be cancelled, but need not be waited for.
      const addresses = await untilAborted(signal, checkedAddresses(call.url, allowed, resolve))
      const answer = await fetchOnce(call, addresses, limits, signal)
      if (!('location' in answer)) return answer
      if (left <= 0) throw unusable('The URL redirects too often')
      call = redirectOf(call, answer)
      if (options.trusted && call.url.origin !== origin) throw unusable('The URL redirects to another host')
    }
  }

  return Object.assign(safeFetch, {
    close() {
      isClosed = true
      for (const controller of active) controller.abort(stopping())
    },
  })
}

/** The failure of a service that the operator named: the client can do nothing about it. */
function blamedOnService(failure: GatewayError): GatewayError {
  if (failure.code !== 'invalid_request_error') return failure
  return gatewayError('provider_error', failure.message, { cause: failure.cause ?? failure })
}

function stopping(): GatewayError {
  return gatewayError('shutting_down', 'The gateway is stopping')
}

async function resolveBySystem(hostname: string): Promise<readonly string[]> {
  return (await lookup(hostname, { all: true })).map(({ address }) => address)
}

/**
 * The addresses to dial, every one of them allowed. One refusal refuses the host: an attacker who mixes answers gets
 * nothing. A name that does not exist and one that is refused look the same to the client, so that nobody can map the
 * operator's network by asking.
 */
async function checkedAddresses(url: URL, policy: AddressPolicy, resolve: Resolve): Promise<readonly string[]> {
  const literal = literalAddress(url.hostname)
  if (literal !== undefined) {
    if (policy.allowsAddress(literal)) return [literal]
    throw unusable('The URL leads to an address that is not public')
  }
  const refusal = 'The host of the URL has no public address'
  const addresses = await resolve(url.hostname).catch((error: unknown) => {
    throw unusable(refusal, error)
  })
  const canonical = addresses.every((address) => literalAddress(address) === address)
  const allowed = canonical && (policy.allowsHost(url.hostname) || addresses.every((it) => policy.allowsAddress(it)))
  if (addresses.length > 0 && allowed) return addresses
  throw unusable(refusal, new Error(`${url.hostname} resolves to ${addresses.join(', ') || 'nothing'}`))
}
