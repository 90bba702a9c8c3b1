/** An identity provider on a real port: a discovery document, a key set, and tokens signed with real keys. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { CryptoKey, JWK, JWTPayload } from 'jose'

export interface SigningKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

/** Makes a key pair; its public half is what a key set has. */
export async function signingKey(alg = 'ES256', kid: string = crypto.randomUUID()): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } }
}

export class TokenIssuer {
  readonly #server: Server
  /** What the key set has. */
  keys: readonly SigningKey[]
  /** Paths that were asked for. */
  readonly asked: string[] = []
  /** Anything else than 200 is an issuer in trouble. */
  status = 200
  /** What is sent in the place of the key set. */
  keySet: unknown
  /** What the discovery document says in addition. */
  discovery: Record<string, unknown> = {}
  /** Answers nothing as long as it is true. */
  hangs = false

  private constructor(server: Server, keys: readonly SigningKey[]) {
    this.#server = server
    this.keys = keys
  }

  static async start(...keys: readonly SigningKey[]): Promise<TokenIssuer> {
    const server = createServer((request, response) => {
      issuer.asked.push(request.url ?? '')
      if (issuer.hangs) return
      const body = request.url?.endsWith('/openid-configuration')
        ? { issuer: issuer.url, jwks_uri: `${issuer.url}/keys`, ...issuer.discovery }
        : (issuer.keySet ?? { keys: issuer.keys.map(({ jwk }) => jwk) })
      response.writeHead(issuer.status, { 'content-type': 'application/json', connection: 'close' })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    })
    const issuer = new TokenIssuer(server, keys)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return issuer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** A good token, but for what is said otherwise. Times are seconds since 1970. */
  token(claims: JWTPayload, nowMs: number, key: SigningKey = this.keys[0]!): Promise<string> {
    const nowSeconds = Math.floor(nowMs / 1000)
    return new SignJWT({ iss: this.url, aud: 'hadrian', sub: 'ann', exp: nowSeconds + 3600, ...claims })
      .setProtectedHeader({ alg: key.alg, kid: key.kid })
      .sign(key.privateKey)
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }
}
