import { gatewayError } from '@hadrian/core/plugin'
import type { InboundCall } from '@hadrian/core/plugin'
import { keyFamily } from './keys.ts'

const bearer = /^bearer[ \t]+(\S+)$/i

/**
 * The key that a request carries as `Authorization: Bearer` or `X-API-Key`; undefined if neither is one of ours. A token
 * of another kind in the other header is left to whoever knows it: SDKs send placeholders there.
 *
 * @throws GatewayError `invalid_request_error` for two different keys: which of them should pay cannot be guessed
 */
export function presentedKey(headers: InboundCall['headers']): string | undefined {
  const fromBearer = ours(bearer.exec(headers['authorization']?.trim() ?? '')?.[1])
  const fromHeader = ours(headers['x-api-key']?.trim())
  if (fromBearer !== undefined && fromHeader !== undefined && fromBearer !== fromHeader)
    throw gatewayError(
      'invalid_request_error',
      'The Authorization and X-API-Key headers carry different keys; send only one',
    )
  return fromBearer ?? fromHeader
}

function ours(token: string | undefined): string | undefined {
  return token?.startsWith(keyFamily) ? token : undefined
}
