/** API keys and tokens over HTTP, with owners in the database. */
import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import type { Gateway } from '../../core/index.ts'
import { fakeProvider } from '../../core/testing/index.ts'
import auth from '../../plugins/auth/index.ts'
import identity from '../../plugins/identity/index.ts'
import jwt from '../../plugins/jwt/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { withinOneSecond } from './plugin-instance.ts'
import { signingKey, TokenIssuer } from './token-issuer.ts'

const adminKey = 'the-operators-own-key-of-forty-characters'
let issuer: TokenIssuer
let gateway: Gateway
let url: string

before(async () => {
  issuer = await TokenIssuer.start(await signingKey())
  const off = { enabled: false }
  gateway = await createGateway({
    environment: {},
    config: {
      server: { host: '127.0.0.1', port: 0, shutdown_timeout_ms: 100 },
      routing: { default_provider: 'fake' },
      plugins: { router: off, 'usage-log': off, 'rate-limit': off, budget: off, pricing: off },
    },
    dataDirectory: await preparedDataDirectory(),
    overrides: {
      plugins: [[identity], [auth, { bootstrap_key: adminKey }], [jwt, { issuer: issuer.url, audience: 'hadrian' }]],
      providers: [[fakeProvider().definition]],
    },
  })
  url = (await gateway.start()).url!
})

after(async () => {
  await gateway?.stop()
  await issuer?.stop()
})

async function call(
  method: string,
  path: string,
  key: string,
  body?: object,
): Promise<JsonObject & { status: number }> {
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      connection: 'close',
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  return { ...((await response.json()) as JsonObject), status: response.status }
}

const admin = (method: string, path: string, body?: object): ReturnType<typeof call> =>
  call(method, `/admin/v1${path}`, adminKey, body)

const chat = async (key: string): Promise<number> =>
  (
    await call('POST', '/api/v1/chat/completions', key, {
      model: 'fake/fake-model',
      messages: [{ role: 'user', content: 'Hello' }],
    })
  ).status

it('keys and tokens act for owners, with all limits above them, as long as these exist', async () => {
  const organization = await admin('POST', '/organizations', {
    slug: 'acme',
    name: 'Acme',
    rate_limits: { requests_per_minute: 600 },
  })
  const project = await admin('POST', '/organizations/acme/projects', { slug: 'web', name: 'Web' })
  const user = await admin('POST', '/users', { external_id: 'ann', name: 'Ann', organization_id: organization['id'] })
  assert.deepEqual([organization.status, project.status, user.status], [201, 201, 201])

  const made = await admin('POST', '/api-keys', {
    name: 'web',
    owner: { type: 'project', project_id: project['id'] },
    budgets: [{ period: 'daily', limit_usd: 3 }],
  })
  assert.equal(made.status, 201)
  const key = made['key'] as string
  assert.equal(await chat(key), 200)
  const limits = { budgets: null, rate_limits: { requests_per_minute: 600 } }
  const { status, id, name, owners, budgets } = await call('GET', '/api/v1/key', key)
  assert.deepEqual(
    { status, id, name, owners, budgets },
    {
      status: 200,
      id: made['id'],
      name: 'web',
      owners: [
        { type: 'project', id: project['id'], name: 'Web', budgets: null, rate_limits: null },
        { type: 'organization', id: organization['id'], name: 'Acme', ...limits },
      ],
      budgets: [{ period: 'daily', limit_usd: 3 }],
    },
  )

  const token = await issuer.token({ scope: 'openid chat models' }, Date.now())
  assert.equal(await chat(token), 200)
  const own = await call('GET', '/api/v1/key', token)
  assert.deepEqual(own['scopes'], ['chat', 'models'])
  assert.deepEqual(own['owners'], [
    { type: 'user', id: user['id'], name: 'Ann', budgets: null, rate_limits: null },
    { type: 'organization', id: organization['id'], name: 'Acme', ...limits },
  ])
  assert.equal((await call('GET', '/admin/v1/api-keys', token)).status, 403)
  assert.equal(await chat(await issuer.token({ sub: 'bob' }, Date.now())), 401)

  const rotated = await call('POST', `/admin/v1/api-keys/${id as string}/rotate`, adminKey)
  assert.equal(rotated.status, 201)
  for (const each of [key, rotated['key'] as string])
    assert.equal((await call('GET', '/api/v1/key', each))['id'], made['id'])
  assert.equal((await admin('PATCH', `/api-keys/${id as string}`, { ip_allowlist: ['10.0.0.0/8'] })).status, 200)
  assert.equal(await chat(key), 403)
  assert.equal((await admin('PATCH', `/api-keys/${id as string}`, { ip_allowlist: null })).status, 200)
  assert.equal(await chat(key), 200)

  assert.equal((await admin('DELETE', '/organizations/acme/projects/web')).status, 200)
  await withinOneSecond(async () => assert.equal(await chat(key), 401))
  assert.equal((await admin('DELETE', `/users/${user['id'] as string}`)).status, 200)
  await withinOneSecond(async () => assert.equal(await chat(token), 401))
})

it('the first thing wrong with a token or key is told in one way', async () => {
  const { iss: _, ...claims } = { iss: issuer.url, sub: 'ann' }
  const answers = await Promise.all(
    [`gw_live_${'x'.repeat(43)}`, await issuer.token({ ...claims, aud: 'other' }, Date.now())].map((each) =>
      call('GET', '/api/v1/key', each),
    ),
  )
  const shown = answers.map(({ status, error }) => [status, { ...(error as JsonObject), request_id: '' }])
  assert.deepEqual(shown[0], shown[1])
  assert.equal(answers[0]!.status, 401)
})
