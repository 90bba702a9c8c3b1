import { invalidRequest } from '@hadrian/core/plugin'
import type { OptionsOf, RequestMistake } from '@hadrian/core/plugin'
import { secretAlgorithms } from './options.ts'
import type { options } from './options.ts'

type Options = OptionsOf<typeof options>

/** What is set for one issuer. */
export type IssuerOptions = Omit<Options, 'issuers'>

/** One issuer, checked and with its defaults. */
export interface IssuerSettings {
  readonly issuer: string
  readonly audience: readonly string[]
  readonly algorithms: readonly string[]
  /** Undefined for an issuer with public keys. */
  readonly secret: Uint8Array | undefined
  /** Undefined: found by discovery. */
  readonly jwksUrl: string | undefined
  readonly clockToleranceSeconds: number
  readonly claims: {
    readonly user: string
    readonly organization: string | undefined
    readonly scopes: string
    readonly models: string | undefined
    readonly name: string
  }
  /** Undefined: values of the claim that are scopes give themselves. */
  readonly scopeMap: ReadonlyMap<string, readonly string[]> | undefined
  readonly defaultScopes: readonly string[]
  readonly allowsUnknownUsers: boolean
}

/** Scopes that a token gives by their own names, and without any: all of the gateway but `admin`. */
export const ordinaryScopes: readonly string[] = ['chat', 'completions', 'embeddings', 'models']

const defaultAlgorithms = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'EdDSA']

/**
 * Reads the options as far as a schema cannot check them.
 *
 * @throws GatewayError `invalid_request_error` with every mistake, by its path in the options
 */
export function readIssuers(options: Options): readonly IssuerSettings[] {
  const mistakes: RequestMistake[] = []
  const { issuers, ...first } = options
  const seen = new Set<string>()
  const settings = [first, ...issuers].map((each, index) => {
    const prefix = index === 0 ? '' : `issuers[${index - 1}].`
    const wrong = (field: keyof IssuerOptions, message: string): void =>
      void mistakes.push({ path: prefix + field, message })
    if (seen.has(each.issuer)) wrong('issuer', 'is there twice')
    seen.add(each.issuer)
    return issuerSettings(each, wrong)
  })
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return settings
}

function issuerSettings(
  options: IssuerOptions,
  wrong: (field: keyof IssuerOptions, message: string) => void,
): IssuerSettings {
  const { issuer, secret, jwks_url: jwksUrl, claims, scope_map: scopeMap } = options
  const algorithms = options.algorithms ?? (secret === undefined ? defaultAlgorithms : secretAlgorithms)
  if (secret !== undefined && jwksUrl !== undefined) wrong('jwks_url', 'cannot be set together with secret')
  if (secret === undefined && algorithms.some(isShared))
    wrong('algorithms', 'can have HS256, HS384 and HS512 with a secret only')
  if (secret !== undefined && !algorithms.every(isShared))
    wrong('algorithms', 'can have HS256, HS384 and HS512 only, as there is a secret')
  if (jwksUrl !== undefined && !URL.canParse(jwksUrl)) wrong('jwks_url', 'must be a URL')
  if (secret === undefined && jwksUrl === undefined && !isWebUrl(issuer))
    wrong('issuer', 'must be an http or https URL, for its keys to be found; or set jwks_url')
  const mapped = Object.entries(scopeMap)
  return {
    issuer,
    audience: typeof options.audience === 'string' ? [options.audience] : options.audience,
    algorithms,
    secret: secret === undefined ? undefined : new TextEncoder().encode(secret),
    jwksUrl,
    clockToleranceSeconds: options.clock_tolerance_seconds,
    claims: {
      user: claims.user,
      organization: claims.organization,
      scopes: claims.scopes,
      models: claims.models,
      name: claims.name,
    },
    scopeMap: mapped.length > 0 ? new Map(mapped) : undefined,
    defaultScopes: options.default_scopes ?? (mapped.length > 0 ? [] : ordinaryScopes),
    allowsUnknownUsers: options.unknown_users === 'allow',
  }
}

function isShared(algorithm: string): boolean {
  return (secretAlgorithms as readonly string[]).includes(algorithm)
}

function isWebUrl(text: string): boolean {
  return /^https?:$/.test(URL.parse(text)?.protocol ?? '')
}
