import assert from 'node:assert/strict'
import { createHmac, createPublicKey } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import type { GatewayError, JsonObject, Owner, Principal } from '../../core/contract/plugin.ts'
import { harness } from '../../core/testing/harness.ts'
import { pluginSuite } from '../../core/testing/plugin-suite.ts'
import jwt from '../../plugins/jwt/index.ts'
import { hasRepeatedNames } from '../../plugins/jwt/token.ts'
import { TokenCache } from '../../plugins/jwt/token-cache.ts'
import type { KnownToken } from '../../plugins/jwt/token-cache.ts'
import { KnownOwners, ownersPlugin } from './known-owners.ts'
import { inboundCall, pluginInstance } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'
import { signingKey, TokenIssuer } from './token-issuer.ts'
import type { SigningKey } from './token-issuer.ts'

const organization: Owner = { kind: 'organization', id: 'o-1', name: 'Acme', rateLimits: { requestsPerMinute: 9 } }
const user: Owner = { kind: 'user', id: 'u-1', name: 'Ann' }
const noDatabase = undefined as never
const started: TokenIssuer[] = []
const instances: PluginInstance[] = []
let first: SigningKey
let second: SigningKey

before(async () => {
  ;[first, second] = await Promise.all([signingKey(), signingKey()])
})

after(async () => {
  for (const { hooks } of instances) await hooks.stop?.()
  for (const issuer of started) await issuer.stop()
})

async function startIssuer(...keys: readonly SigningKey[]): Promise<TokenIssuer> {
  const issuer = await TokenIssuer.start(...(keys.length > 0 ? keys : [first]))
  started.push(issuer)
  return issuer
}

interface Site {
  readonly issuer: TokenIssuer
  readonly owners: KnownOwners
  readonly instance: PluginInstance
  /** A good token, but for what is said otherwise. */
  readonly token: (claims?: JWTPayload, key?: SigningKey) => Promise<string>
  readonly principal: (token: string) => Promise<Principal | undefined>
  readonly refusal: (token: string) => Promise<GatewayError>
}

/** The plugin with one issuer, and Ann, whom it knows. */
async function site(options: JsonObject = {}, issuer?: TokenIssuer): Promise<Site> {
  const tokens = issuer ?? (await startIssuer())
  const owners = new KnownOwners()
  owners.set([organization], 'acme')
  owners.set([user, organization], 'ann')
  const settings = { issuer: tokens.url, audience: 'hadrian', ...options }
  const instance = await pluginInstance(jwt, noDatabase, settings, { identity: owners })
  instances.push(instance)
  const principal = async (token: string): Promise<Principal | undefined> => {
    const call = inboundCall({ authorization: `Bearer ${token}` })
    await instance.hooks.authenticate?.(call)
    return call.principal
  }
  return {
    issuer: tokens,
    owners,
    instance,
    token: (claims = {}, key) => tokens.token(claims, instance.clock.now(), key),
    principal,
    refusal: (token) =>
      principal(token).then(
        () => assert.fail('it was not refused'),
        (error: unknown) => error as GatewayError,
      ),
  }
}

const base64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

describe('jwt: principals', () => {
  it('knows the user of a token, with all owners and the scopes of the gateway that it names', async () => {
    const { token, principal } = await site()
    const known = await principal(await token({ name: 'Ann A', scope: 'openid chat admin models' }))
    assert.match(known?.id ?? '', /^jwt:[\w-]{43}$/)
    assert.deepEqual(known, {
      id: known?.id,
      name: 'Ann A',
      scopes: ['chat', 'models'],
      owners: [user, organization],
    })
  })

  it('has one id for a user, whatever tokens it comes with, and another for the same user of another issuer', async () => {
    const here = await site()
    const there = await site()
    const [one, two] = [await here.principal(await here.token()), await here.principal(await here.token({ jti: '2' }))]
    assert.equal(one?.id, two?.id)
    assert.notEqual((await there.principal(await there.token()))?.id, one?.id)
    assert.equal(one?.name, 'ann')
    assert.deepEqual(one?.scopes, ['chat', 'completions', 'embeddings', 'models'])
  })

  it('maps the claims that it is told to', async () => {
    const { token, principal } = await site({
      claims: {
        user: 'https://acme.test/login',
        organization: 'org.slug',
        scopes: 'realm_access.roles',
        models: 'models',
        name: 'nick',
      },
      scope_map: { 'llm-admin': ['admin', 'models'], 'llm-user': ['chat', 'models'] },
    })
    const known = await principal(
      await token({
        sub: 'other',
        'https://acme.test/login': 'ann',
        org: { slug: 'acme' },
        realm_access: { roles: ['llm-admin', 'llm-user', 'admin', 'embeddings'] },
        models: ['openai/*', 'test/echo'],
        nick: 'A',
      }),
    )
    assert.deepEqual(
      { ...known, id: '' },
      {
        id: '',
        name: 'A',
        scopes: ['admin', 'models', 'chat'],
        allowedModels: ['openai/*', 'test/echo'],
        owners: [user, organization],
      },
    )
    assert.deepEqual(
      (await principal(await token({ 'https://acme.test/login': 'ann', realm_access: { roles: ['admin'] } })))?.scopes,
      [],
      'with a map nothing is given that is not in it',
    )
    assert.deepEqual(
      (await principal(await token({ 'https://acme.test/login': 'ann', models: 'a b' })))?.allowedModels,
      ['a', 'b'],
    )
    assert.deepEqual(
      (await principal(await token({ 'https://acme.test/login': 'ann', models: [] })))?.allowedModels,
      [],
    )
  })

  it('gives default scopes to a token that gives none', async () => {
    const { token, principal } = await site({ default_scopes: ['models'] })
    assert.deepEqual((await principal(await token({ scope: 'openid admin' })))?.scopes, ['models'])
    assert.deepEqual((await principal(await token({ scope: 'openid chat' })))?.scopes, ['chat'])
  })

  it('refuses users and organizations that the gateway does not have, or lets them in without their limits', async () => {
    const claims = { organization: 'org' }
    const strict = await site({ claims })
    assert.equal((await strict.refusal(await strict.token({ sub: 'bob' }))).code, 'invalid_api_key')
    assert.equal((await strict.refusal(await strict.token({ org: 'nobody' }))).code, 'invalid_api_key')
    const open = await site({ claims, unknown_users: 'allow' })
    assert.equal((await open.principal(await open.token({ sub: 'bob' })))?.owners, undefined)
    assert.deepEqual((await open.principal(await open.token({ sub: 'bob', org: 'acme' })))?.owners, [organization])
  })

  it('sees changes of owners at once, for tokens that it knows too', async () => {
    const { token, principal, refusal, owners } = await site()
    const same = await token()
    assert.deepEqual((await principal(same))?.owners, [user, organization])
    const { asked } = owners
    assert.equal(await principal(same), await principal(same), 'nothing is made anew while nothing changes')
    assert.equal(owners.asked, asked)
    owners.set([user], 'ann')
    assert.deepEqual((await principal(same))?.owners, [user])
    owners.delete('user', 'u-1')
    assert.equal((await refusal(same)).code, 'invalid_api_key')
    owners.set([user], 'ann')
    assert.ok(await principal(same))
  })

  it('leaves what is not its own to others', async () => {
    const { instance, token, issuer } = await site()
    const other = await site()
    const headers: Record<string, string>[] = [
      {},
      { authorization: 'Bearer sk-other' },
      { authorization: `Bearer gw_live_${'x'.repeat(43)}` },
      { authorization: `Bearer ${await other.token()}` },
      { authorization: `Bearer ${base64({ alg: 'ES256' })}.${base64('no JSON')}.x` },
      { authorization: `Bearer ${base64('[]')}.${base64({ iss: issuer.url })}.x` },
      { authorization: `Bearer ${base64({ alg: 'ES256' })}.${base64({ iss: [issuer.url] })}.x` },
      { authorization: `Basic ${await token()}` },
      { 'x-api-key': await token() },
    ]
    for (const each of headers) {
      const call = inboundCall(each)
      assert.equal(instance.hooks.authenticate?.(call), undefined)
      assert.equal(call.principal, undefined)
    }
    assert.deepEqual(issuer.asked, [])
  })

  it('answers in the same turn, and asks nobody, once a token is known', async () => {
    const { instance, issuer, token, principal } = await site()
    const same = await token()
    await principal(same)
    const asked = issuer.asked.length
    for (let count = 0; count < 100; count++) {
      const call = inboundCall({ authorization: `Bearer ${same}` })
      assert.equal(instance.hooks.authenticate?.(call), undefined)
      assert.ok(call.principal)
    }
    assert.equal(issuer.asked.length, asked)
  })

  it('takes tokens of several issuers, each by its own settings', async () => {
    const more = await startIssuer(second)
    const here = await site({ issuers: [{ issuer: more.url, audience: ['a', 'b'], default_scopes: ['models'] }] })
    assert.equal((await here.principal(await here.token()))?.scopes?.length, 4)
    const now = here.instance.clock.now()
    assert.deepEqual((await here.principal(await more.token({ aud: ['x', 'b'] }, now)))?.scopes, ['models'])
    assert.equal((await here.refusal(await more.token({}, now))).status, 401, 'its audience is another')
    assert.equal(
      (await here.refusal(await here.token({}, second))).status,
      401,
      "the other issuer's key proves nothing",
    )
  })

  it('takes signatures with every algorithm it says by default', async () => {
    const keys = await Promise.all(['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'EdDSA'].map((alg) => signingKey(alg)))
    const { token, principal } = await site({}, await startIssuer(...keys))
    for (const key of keys) assert.ok(await principal(await token({}, key)), key.alg)
  })

  it('finds the key of a token that does not name it', async () => {
    const { issuer, instance, principal } = await site({}, await startIssuer(first, second))
    const nowSeconds = Math.floor(instance.clock.now() / 1000)
    const nameless = await new SignJWT({ iss: issuer.url, aud: 'hadrian', sub: 'ann', exp: nowSeconds + 60 })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(second.privateKey)
    assert.ok(await principal(nameless))
  })

  it('proves tokens with a shared secret where there is one', async () => {
    const secret = 'a secret of more than thirty-two characters'
    const { issuer, instance, principal, refusal, token } = await site({ secret })
    const sign = (word: string): Promise<string> =>
      new SignJWT({ iss: issuer.url, aud: 'hadrian', sub: 'ann', exp: Math.floor(instance.clock.now() / 1000) + 60 })
        .setProtectedHeader({ alg: 'HS256' })
        .sign(new TextEncoder().encode(word))
    assert.ok(await principal(await sign(secret)))
    assert.equal((await refusal(await sign(`${secret}!`))).status, 401)
    assert.equal((await refusal(await token())).status, 401)
    assert.deepEqual(issuer.asked, [])
  })
})

describe('jwt: refusals', () => {
  it('are the same for every token that is no good', async () => {
    const { issuer, instance, token, refusal } = await site()
    const nowSeconds = Math.floor(instance.clock.now() / 1000)
    const good = await token()
    const [header, payload, signature] = good.split('.') as [string, string, string]
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as JsonObject
    const publicKey = createPublicKey({ key: first.jwk, format: 'jwk' })
    const spki = publicKey.export({ type: 'spki', format: 'pem' })
    const withHeader = (head: object): string => `${base64(head)}.${payload}`
    const hmac = (head: object, secret: string): string => {
      const body = withHeader(head)
      return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`
    }
    const signed = (text: string): Promise<string> => signRaw(first, text)
    const candidates: Record<string, string> = {
      expired: await token({ exp: nowSeconds - 31 }),
      'not yet valid': await token({ nbf: nowSeconds + 31 }),
      endless: await token({ exp: undefined }),
      'for others': await token({ aud: 'other' }),
      'for nobody': await token({ aud: undefined }),
      'of nobody': await token({ sub: undefined }),
      'a user that is no text': await token({ sub: 7 as never }),
      'scopes that are no texts': await token({ scope: [7] }),
      'an unknown key': await token({}, second),
      tampered: `${header}.${base64({ ...claims, sub: 'root' })}.${signature}`,
      'another header': `${base64({ alg: 'ES256', kid: first.kid, x: 1 })}.${payload}.${signature}`,
      'no signature': `${withHeader({ alg: 'none' })}.`,
      'a signature that counts for nothing': `${withHeader({ alg: 'none' })}.${signature}`,
      'None in capitals': `${withHeader({ alg: 'NONE', kid: first.kid })}.`,
      'a cut signature': good.slice(0, -10),
      'the public key as a secret': hmac({ alg: 'HS256', kid: first.kid }, spki),
      'the key set as a secret': hmac({ alg: 'HS256', kid: first.kid }, JSON.stringify(first.jwk)),
      'an empty secret': hmac({ alg: 'HS256' }, ''),
      'a key of its own': `${withHeader({ alg: 'ES256', jwk: second.jwk })}.${signature}`,
      'a key elsewhere': `${withHeader({ alg: 'ES256', jku: `${issuer.url}/evil`, x5u: `${issuer.url}/evil` })}.${signature}`,
      'a path as the key': `${withHeader({ alg: 'ES256', kid: '../../../../etc/passwd' })}.${signature}`,
      'a query as the key': `${withHeader({ alg: 'ES256', kid: "' or 1=1 --" })}.${signature}`,
      'an object as the key': `${withHeader({ alg: 'ES256', kid: { a: 1 } })}.${signature}`,
      'a prototype as the key': `${withHeader({ alg: 'ES256', kid: '__proto__' })}.${signature}`,
      'a claim twice': await signed(
        `{"iss":${JSON.stringify(issuer.url)},"aud":"hadrian","sub":"x","exp":${nowSeconds + 60},"sub":"ann"}`,
      ),
      'a claim twice in disguise': await signed(
        `{"iss":${JSON.stringify(issuer.url)},"aud":"hadrian","su\\u0062":"x","exp":${nowSeconds + 60},"sub":"ann"}`,
      ),
      'a critical extension': `${withHeader({ alg: 'ES256', kid: first.kid, crit: ['b64'], b64: false })}.${signature}`,
      oversized: await token({ padding: 'x'.repeat(12_288) }),
      'oversized nonsense': `${'a'.repeat(20_000)}.${'b'.repeat(20_000)}.c`,
    }
    for (const [what, candidate] of Object.entries(candidates)) {
      const { code, status, message, headers, details, param } = await refusal(candidate)
      assert.deepEqual(
        { code, status, message, headers, details, param },
        {
          code: 'invalid_api_key',
          status: 401,
          message: 'Invalid API key provided',
          headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
          details: undefined,
          param: undefined,
        },
        what,
      )
    }
    assert.deepEqual(
      issuer.asked.filter((path) => path !== '/keys' && path !== '/.well-known/openid-configuration'),
      [],
    )
    const log = instance.log.join('\n')
    for (const part of [signature, payload, good]) assert.ok(!log.includes(part))
  })

  it('end a token at its time, and prove it again now and then before', async () => {
    const { issuer, instance, token, principal, refusal } = await site()
    const nowSeconds = Math.floor(instance.clock.now() / 1000)
    const short = await token({ exp: nowSeconds + 60 })
    const long = await token({ exp: nowSeconds + 7200 })
    assert.ok(await principal(short))
    assert.ok(await principal(long))
    await instance.clock.advance(89_000)
    assert.ok(await principal(short), 'within the tolerance')
    await instance.clock.advance(1000)
    assert.equal((await refusal(short)).status, 401)
    // The issuer withdraws the key.
    issuer.keys = [second]
    await instance.clock.advance(600_000)
    // The keys are old, and fetched beside this request.
    await principal(long).catch(() => undefined)
    await settled(() => issuer.asked.length === 4)
    await instance.clock.advance(600_000)
    assert.equal((await refusal(long)).status, 401)
  })
})

/** A token with a payload that is exactly this text. */
async function signRaw({ kid, alg, privateKey }: SigningKey, payload: string): Promise<string> {
  const body = `${base64({ alg, kid })}.${base64(payload)}`
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, Buffer.from(body))
  return `${body}.${Buffer.from(signature).toString('base64url')}`
}

async function settled(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setImmediate(resolve))
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

describe('jwt: keys of the issuer', () => {
  it('are found by discovery, or where the operator says', async () => {
    const found = await site()
    await found.principal(await found.token())
    assert.deepEqual(found.issuer.asked, ['/.well-known/openid-configuration', '/keys'])
    const issuer = await startIssuer()
    const told = await site({ jwks_url: `${issuer.url}/elsewhere` }, issuer)
    await told.principal(await told.token())
    assert.deepEqual(issuer.asked, ['/elsewhere'])
  })

  it('are begun to be fetched at the start, which waits for nothing', async () => {
    const { issuer, instance } = await site()
    issuer.hangs = true
    assert.equal(instance.hooks.start?.(), undefined)
    await settled(() => issuer.asked.length === 1)
    await instance.hooks.stop?.()
    await settled(() => instance.clock.pending === 0)
    assert.equal(instance.log.filter((line) => line.includes('warn')).length, 0)
  })

  it('are fetched once for many tokens at a time', async () => {
    const { issuer, token, principal } = await site()
    const tokens = await Promise.all(Array.from({ length: 20 }, (_, index) => token({ jti: String(index) })))
    const known = await Promise.all(tokens.map(principal))
    assert.ok(known.every((each) => each))
    assert.equal(issuer.asked.length, 2)
  })

  it('that are new are fetched at once, and unknown ones at most every 30 seconds', async () => {
    const { issuer, instance, token, principal, refusal } = await site()
    await principal(await token())
    issuer.keys = [second]
    const early = await refusal(await token({}, second))
    assert.equal(early.status, 401, 'the last fetch was a moment ago')
    assert.equal(issuer.asked.length, 2)
    await instance.clock.advance(30_000)
    assert.ok(await principal(await token({}, second)))
    assert.equal(issuer.asked.length, 4)
    for (let count = 0; count < 50; count++) await refusal(await token({ jti: String(count) }, first))
    assert.equal(issuer.asked.length, 4)
  })

  it('go on while the issuer is away, and come back with it', async () => {
    const { issuer, instance, token, principal, refusal } = await site()
    await principal(await token())
    issuer.status = 500
    for (let hour = 0; hour < 3; hour++) {
      await instance.clock.advance(3_600_000)
      assert.ok(await principal(await token()))
      await settled(() => issuer.asked.length === 3 + hour)
    }
    assert.equal(instance.log.filter((line) => line.includes('could not be read')).length, 1)
    const unknown = await refusal(await token({}, second))
    assert.deepEqual([unknown.status, unknown.headers['retry-after']], [503, '5'], 'it may be a new key of the issuer')
    issuer.status = 200
    issuer.keys = [first, second]
    await instance.clock.advance(30_000)
    assert.ok(await principal(await token({}, second)))
    assert.equal(instance.log.filter((line) => line.includes('could be read again')).length, 1)
  })

  it('that never came make 503 with Retry-After, and one fetch in five seconds', async () => {
    const { issuer, instance, token, principal, refusal } = await site()
    issuer.status = 503
    for (let count = 0; count < 10; count++) {
      const { code, status, headers, details } = await refusal(await token())
      assert.deepEqual(
        [code, status, headers['retry-after'], details?.['retry_after_secs']],
        ['provider_unavailable', 503, '5', 5],
      )
    }
    assert.equal(issuer.asked.length, 1)
    issuer.status = 200
    await instance.clock.advance(5000)
    assert.ok(await principal(await token()))
  })

  it('that do not come in time make 503', async () => {
    const { issuer, instance, token, refusal } = await site()
    issuer.hangs = true
    const refused = refusal(await token())
    await settled(() => issuer.asked.length === 1)
    await instance.clock.advance(4000)
    assert.equal((await refused).status, 503)
    assert.equal(instance.clock.pending, 0)
  })

  it('are not taken from what is no key set, or from another issuer', async () => {
    for (const [keySet, discovery] of [
      ['not JSON', {}],
      [[], {}],
      [{ keys: 'none' }, {}],
      [`"${'x'.repeat(1_100_000)}"`, {}],
      [undefined, { issuer: 'https://evil.test' }],
      [undefined, { jwks_uri: 'file:///etc/passwd' }],
      [undefined, { jwks_uri: 7 }],
    ] as const) {
      const { issuer, token, refusal } = await site()
      issuer.keySet = keySet
      issuer.discovery = discovery
      assert.equal((await refusal(await token())).status, 503)
    }
  })

  it('that are secrets prove nothing', async () => {
    const { issuer, instance, refusal } = await site()
    const secret = Buffer.from('a secret of more than thirty-two characters')
    issuer.keySet = { keys: [{ kty: 'oct', k: secret.toString('base64url'), kid: 'shared', alg: 'HS256' }] }
    const token = await new SignJWT({
      iss: issuer.url,
      aud: 'hadrian',
      sub: 'ann',
      exp: Math.floor(instance.clock.now() / 1000) + 60,
    })
      .setProtectedHeader({ alg: 'HS256', kid: 'shared' })
      .sign(secret)
    assert.equal((await refusal(token)).status, 401)
  })
})

describe('jwt: options', () => {
  it('that cannot work stop the start, each with its path', async () => {
    const secret = 'a secret of more than thirty-two characters'
    const options = {
      issuer: 'no URL',
      audience: 'hadrian',
      issuers: [
        { issuer: 'a', audience: 'x', secret, jwks_url: 'https://a.test/keys' },
        { issuer: 'a', audience: 'x', jwks_url: 'https://a.test/keys', algorithms: ['HS256', 'RS256'] },
        { issuer: 'b', audience: 'x', secret, algorithms: ['RS256'] },
      ],
    }
    await assert.rejects(harness({ plugins: [ownersPlugin(), [jwt, options]] }), (error: Error) => {
      assert.deepEqual(
        (error as Error & { problems: { path: string }[] }).problems.map(({ path }) => path),
        [
          'plugins.jwt.issuer',
          'plugins.jwt.issuers[0].jwks_url',
          'plugins.jwt.issuers[1].issuer',
          'plugins.jwt.issuers[1].algorithms',
          'plugins.jwt.issuers[2].algorithms',
        ],
      )
      return !error.message.includes(secret)
    })
  })
})

describe('jwt: parts', () => {
  it('sees names that are there twice, in any object, however they are written', () => {
    for (const json of [
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061" : 2}',
      '{"x":[{"a":1,"b":{},"a":2}]}',
      '{"__proto__":1,"__proto__":2}',
    ])
      assert.ok(hasRepeatedNames(json), json)
    for (const json of [
      '{}',
      '{"a":{"a":{"a":1}},"b":"a","c":["a","a"]}',
      '{"a":"\\"a\\":1,\\"a\\":","b":"}{"}',
      '[{"a":1},{"a":2}]',
    ])
      assert.ok(!hasRepeatedNames(json), json)
  })

  it('keeps the tokens that were used last, and no more than it may', () => {
    const cache = new TokenCache(20)
    const known = (validUntilMs: number): KnownToken => ({ validUntilMs }) as KnownToken
    cache.set('kept', known(100))
    for (let count = 0; count < 100; count++) {
      cache.set(`other ${count}`, known(100))
      assert.ok(cache.get('kept', 99), 'it is used all the time')
      if (count >= 3) assert.ok(cache.get(`other ${count - 2}`, 99))
      assert.ok(cache.size <= 20)
    }
    assert.equal(cache.get('other 0', 99), undefined)
    assert.equal(cache.get('kept', 100), undefined)
  })
})

pluginSuite(jwt, {
  options: {
    issuer: 'suite',
    audience: 'hadrian',
    secret: 'a secret of more than thirty-two characters',
  },
  plugins: [ownersPlugin()],
})
