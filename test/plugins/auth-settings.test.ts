import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { JsonObject, Owner } from '../../core/contract/plugin.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { AuthSites, mistakesOf, refused } from './auth-site.ts'
import type { AuthSite } from './auth-site.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const project: Owner = {
  kind: 'project',
  id: '7c0f8ee0-0000-4000-8000-000000000001',
  name: 'Website',
  budgets: [{ period: 'monthly', limitMicros: 50_000_000 }],
}
const organization: Owner = { kind: 'organization', id: '7c0f8ee0-0000-4000-8000-000000000002', name: 'Acme' }
const ownerBody = { type: 'project', project_id: project.id }
const limits = {
  budgets: [
    { period: 'monthly', limit_usd: 100, warn_at: 0.8 },
    { period: 'daily', limit_usd: 0.25, overage_usd: 1 },
  ],
  rate_limits: { requests_per_minute: 60, concurrent_requests: 4 },
}

const sites = new AuthSites()
let site: AuthSite

before(async () => {
  const database = await sites.open({ dataDirectory: await preparedDataDirectory(), logger })
  site = await sites.start(database)
  site.owners.set([project, organization])
  site.owners.set([organization])
})

after(() => sites.stop())

describe('auth: owners of keys', () => {
  it('stand in the principal, nearest first, with the limits of all', async () => {
    const { key, id, owner } = await site.create({ name: 'web', owner: ownerBody, ...limits })
    assert.deepEqual(owner, ownerBody)
    assert.deepEqual(site.principal(key), {
      id,
      name: 'web',
      owners: [project, organization],
      budgets: [
        { period: 'monthly', limitMicros: 100_000_000, warnAt: 0.8 },
        { period: 'daily', limitMicros: 250_000, overageMicros: 1_000_000 },
      ],
      rateLimits: { requestsPerMinute: 60, concurrentRequests: 4 },
    })
  })

  it('must exist, and be said as they should be', async () => {
    const unknown = '7c0f8ee0-0000-4000-8000-00000000000f'
    const answers: readonly [unknown, string][] = [
      ['me', 'owner must be an object: {"type": "project", "project_id": "..."}'],
      [{ type: 'company' }, 'owner.type must be one of organization, team, project, user, service_account'],
      [{ type: 'project', project_id: 'x' }, 'owner.project_id must be a UUID'],
      [{ type: 'project', project_id: unknown }, 'owner.project_id is the id of no project'],
      [
        { type: 'service_account', service_account_id: unknown },
        'owner.service_account_id is the id of no service account',
      ],
      [{ ...ownerBody, team_id: unknown }, 'owner.team_id is not known; known are type, project_id'],
    ]
    for (const [owner, mistake] of answers)
      assert.deepEqual(mistakesOf(await refused(site.create({ owner }))), [mistake])
    const { id } = await site.create()
    assert.match(mistakesOf(await refused(site.change(id, { owner: ownerBody })))[0]!, /^owner cannot be changed/)
  })

  it('that are deleted take their keys with them, and all changes are seen by the next request', async () => {
    const { key } = await site.create({ owner: ownerBody })
    assert.equal(site.principal(key)?.owners?.length, 2)
    const { asked } = site.owners
    assert.equal(site.principal(key), site.principal(key), 'nothing is made anew while nothing changes')
    assert.equal(site.owners.asked, asked)
    site.owners.set([{ ...project, name: 'Renamed' }])
    assert.deepEqual(site.principal(key)?.owners, [{ ...project, name: 'Renamed' }])
    site.owners.delete('project', project.id)
    const { code, status, message } = site.refusal(key)
    assert.deepEqual([code, status, message], ['invalid_api_key', 401, 'Invalid API key provided'])
    site.owners.set([project, organization])
    assert.ok(site.principal(key))
  })
})

describe('auth: addresses', () => {
  it('outside the list of a key are refused with 403, once the key is right', async () => {
    const ranges = ['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::ffff:203.0.113.0/120']
    const { key, ip_allowlist } = await site.create({ ip_allowlist: ranges })
    assert.deepEqual(ip_allowlist, ranges)
    for (const ip of ['10.9.8.7', '192.0.2.7', '2001:db8:1::1', '203.0.113.9', '::ffff:10.1.2.3', '::ffff:a01:203'])
      assert.ok(site.principal(key, ip), ip)
    for (const ip of [
      '11.0.0.1',
      '192.0.2.8',
      '2001:db9::1',
      '::ffff:192.0.2.8',
      '::1',
      '',
      'unknown',
      '10.0.0.1%eth0',
    ]) {
      const { code, status, details } = site.refusal(key, ip)
      assert.deepEqual([code, status, details], ['ip_not_allowed', 403, { ip }], ip)
    }
    assert.equal(site.refusal(`${key}x`, '10.0.0.1').code, 'invalid_api_key')
  })

  it('are checked when they are set', async () => {
    const wrong = [
      '10.0.0.0/33',
      '10.0.0',
      '10.0.0.0/8/8',
      '::1/129',
      'fe80::1%eth0',
      '1.2.3.4/',
      '1.2.3.4/08',
      'host',
      7,
    ]
    const mistakes = mistakesOf(await refused(site.create({ ip_allowlist: wrong })))
    assert.deepEqual(
      mistakes,
      wrong.map((_, index) => `ip_allowlist[${index}] must be an IP address, or a range such as 10.0.0.0/8`),
    )
  })
})

describe('auth: changing keys', () => {
  it('sets what is named, at once, and leaves the rest', async () => {
    const { key, id, ...made } = await site.create({ name: 'old', scopes: ['chat'], owner: ownerBody, ...limits })
    const { key: _, ...rest } = made as JsonObject
    const change = {
      name: 'new',
      scopes: ['models'],
      allowed_models: ['test/*'],
      expires_at: '2031-01-31T00:00:00.000Z',
      ip_allowlist: ['127.0.0.0/8'],
      budgets: [{ period: 'total', limit_usd: 5 }],
      rate_limits: null,
    }
    const changed = await site.change(id, change)
    assert.deepEqual(changed, { ...rest, id, ...change, expires_at: new Date(change.expires_at) })
    assert.deepEqual(await site.show(id), changed)
    assert.deepEqual(site.principal(key), {
      id,
      name: 'new',
      scopes: ['models'],
      allowedModels: ['test/*'],
      owners: [project, organization],
      budgets: [{ period: 'total', limitMicros: 5_000_000 }],
    })
    assert.equal(site.refusal(key, '10.0.0.1').code, 'ip_not_allowed')
    const cleared = await site.change(id, {
      name: null,
      scopes: null,
      allowed_models: null,
      expires_at: null,
      ip_allowlist: null,
      budgets: null,
    })
    assert.deepEqual(
      [cleared['name'], cleared['scopes'], cleared['expires_at'], cleared['budgets']],
      ['unnamed', null, null, null],
    )
    assert.deepEqual(site.principal(key, '10.0.0.1'), { id, name: 'unnamed', owners: [project, organization] })
    assert.deepEqual(await site.change(id, {}), cleared)
  })

  it('refuses what is not valid, unknown and revoked keys, and models that the caller may not use', async () => {
    const { id } = await site.create()
    const body = {
      scopes: ['sudo'],
      expires_at: '2020-02-31',
      budgets: [{ period: 'hourly', limit_usd: -1 }],
      key: 'x',
    }
    assert.deepEqual(mistakesOf(await refused(site.change(id, body))), [
      'key is not a known key; known are name, scopes, allowed_models, expires_at, ip_allowlist, budgets, rate_limits',
      'budgets[0].period must be one of daily, weekly, monthly, total',
      'budgets[0].limit_usd must be an amount of dollars, from 0 to 9007199254',
      'scopes[0] must be one of chat, completions, embeddings, models, admin',
      'expires_at must be a date, or a time with its zone: 2030-01-31T12:00:00Z',
    ])
    assert.equal((await refused(site.change(crypto.randomUUID(), {}))).code, 'not_found')
    const limited = { id: 'limited', scopes: ['admin'], allowedModels: ['gpt-*'] }
    assert.equal((await refused(site.change(id, { allowed_models: null }, limited))).code, 'model_not_allowed')
    assert.ok(await site.change(id, { allowed_models: ['gpt-4o'] }, limited))
    await site.revoke(id)
    assert.equal((await refused(site.change(id, { name: 'x' }))).code, 'conflict')
  })

  it('makes a key that has expired usable again', async () => {
    const { key, id } = await site.create({ expires_at: new Date(site.instance.clock.now() + 1000).toISOString() })
    await site.instance.clock.advance(999)
    assert.ok(site.principal(key))
    await site.instance.clock.advance(1)
    assert.equal(site.refusal(key).status, 401, 'at the instant')
    await site.change(id, { expires_at: null })
    assert.ok(site.principal(key))
  })
})

describe('auth: lists of keys', () => {
  it('can be of one owner, of one kind of owner, and with or without revoked ones', async () => {
    const team: Owner = { kind: 'team', id: crypto.randomUUID() }
    const other: Owner = { kind: 'team', id: crypto.randomUUID() }
    for (const owner of [team, other]) site.owners.set([owner])
    const make = async (owner: Owner): Promise<string> =>
      (await site.create({ owner: { type: 'team', team_id: owner.id } })).id
    const [one, two, three] = [await make(team), await make(team), await make(other)]
    await site.revoke(two)
    const sorted = async (query: Record<string, string>): Promise<readonly string[]> =>
      (await site.list(query)).toSorted()
    assert.deepEqual(await sorted({ owner_id: team.id }), [one, two].toSorted())
    assert.deepEqual(await sorted({ owner_type: 'team' }), [one, two, three].toSorted())
    assert.deepEqual(await sorted({ owner_type: 'project', owner_id: team.id }), [])
    assert.deepEqual(await sorted({ owner_type: 'team', owner_id: team.id, revoked: 'false' }), [one])
    assert.deepEqual(await sorted({ owner_type: 'team', revoked: 'true' }), [two])
    const page = await site.instance.route('GET', '/admin/v1/api-keys', { query: { owner_type: 'team', limit: '2' } })
    const { next_cursor: cursor } = page.body['pagination'] as { next_cursor: string }
    assert.equal((await site.list({ owner_type: 'team', limit: '2', cursor })).length, 1)
    assert.deepEqual(
      mistakesOf(await refused(site.list({ owner: 'x', owner_type: 'x', owner_id: 'x', revoked: 'x' }))).map(
        (mistake) => mistake.split(' ')[0],
      ),
      ['owner', 'owner_type', 'owner_id', 'revoked'],
    )
  })
})

describe('auth: GET /api/v1/key', () => {
  it('tells a caller about itself, and no secret', async () => {
    const expires = new Date('2031-01-31T00:00:00.000Z')
    const { key, id } = await site.create({
      name: 'web',
      scopes: ['models'],
      owner: ownerBody,
      ip_allowlist: ['127.0.0.1'],
      expires_at: expires.toISOString(),
      ...limits,
    })
    const principal = site.principal(key)!
    const { body, headers } = await site.instance.route('GET', '/api/v1/key', { principal })
    assert.equal(headers['cache-control'], 'no-store')
    assert.deepEqual(body, {
      id,
      name: 'web',
      owners: [
        {
          type: 'project',
          id: project.id,
          name: 'Website',
          budgets: [{ period: 'monthly', limit_usd: 50 }],
          rate_limits: null,
        },
        { type: 'organization', id: organization.id, name: 'Acme', budgets: null, rate_limits: null },
      ],
      scopes: ['models'],
      allowed_models: null,
      ...limits,
      expires_at: expires,
    })
    const other = await site.instance.route('GET', '/api/v1/key', { principal: { id: 'jwt:x' } })
    assert.deepEqual([other.body['id'], other.body['name'], other.body['expires_at']], ['jwt:x', null, null])
  })
})
