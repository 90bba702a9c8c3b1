import { gatewayError } from '@hadrian/core/plugin'
import type { InboundCall } from '@hadrian/core/plugin'

const bearer = /^bearer[ \t]+(\S+)$/i

/**
 * The key that a request carries as `Authorization: Bearer` or `X-API-Key`; undefined if neither is one of ours. A token
 * of another kind in the other header is left to whoever knows it: SDKs send placeholders there.
 *
 * @param isOurs whether a token is for this plugin to judge
 * @throws GatewayError `invalid_request_error` for two different keys: which of them should pay cannot be guessed
 */
export function presentedKey(headers: InboundCall['headers'], isOurs: (token: string) => boolean): string | undefined {
  const fromBearer = bearer.exec(headers['authorization']?.trim() ?? '')?.[1]
  const fromHeader = headers['x-api-key']?.trim()
  const first = fromBearer !== undefined && isOurs(fromBearer) ? fromBearer : undefined
  const second = fromHeader !== undefined && isOurs(fromHeader) ? fromHeader : undefined
  if (first !== undefined && second !== undefined && first !== second)
    throw gatewayError(
      'invalid_request_error',
      'The Authorization and X-API-Key headers carry different keys; send only one',
    )
  return first ?? second
}
