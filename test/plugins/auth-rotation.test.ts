import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { AuthSites, mistakesOf, refused } from './auth-site.ts'
import type { AuthSite } from './auth-site.ts'
import { KnownOwners } from './known-owners.ts'
import { withinOneSecond } from './plugin-instance.ts'

const sites = new AuthSites()
const owner = { kind: 'project', id: crypto.randomUUID() } as const
let server: PostgresServer
let one: AuthSite
let two: AuthSite

before(async () => {
  server = await startPostgres()
  const url = await server.createDatabase()
  const owners = new KnownOwners()
  owners.set([owner])
  one = await sites.start(await sites.open({ url }), {}, owners)
  two = await sites.start(await sites.open({ url }), {}, owners)
})

after(async () => {
  await sites.stop()
  await server.stop()
})

/** Moves the time of both instances. */
async function advance(milliseconds: number): Promise<void> {
  for (const { instance } of [one, two]) await instance.clock.advance(milliseconds)
}

const settings = {
  name: 'web',
  scopes: ['chat'],
  owner: { type: 'project', project_id: owner.id },
  budgets: [{ period: 'monthly', limit_usd: 1 }],
}

describe('auth: rotation', () => {
  it('gives a new secret on every instance, and lets the old one go on until the end of its grace', async () => {
    const { key: old, id } = await one.create(settings)
    await withinOneSecond(() => assert.ok(two.principal(old)))
    const before = one.principal(old)
    const rotated = await one.rotate(id, { grace_period_seconds: 60 })
    assert.match(rotated.key, /^gw_live_[\w-]{43}$/)
    assert.notEqual(rotated.key, old)
    assert.deepEqual(
      [rotated.id, rotated['key_prefix'], rotated['rotated_at'], rotated['previous_keys']],
      [
        id,
        rotated.key.slice(0, 12),
        new Date(one.instance.clock.now()),
        [{ key_prefix: old.slice(0, 12), valid_until: new Date(one.instance.clock.now() + 60_000) }],
      ],
    )
    await withinOneSecond(() => assert.ok(two.principal(rotated.key)))
    for (const site of [one, two])
      for (const key of [old, rotated.key]) assert.deepEqual(site.principal(key), before, 'the principal stays')
    await advance(59_999)
    for (const site of [one, two]) assert.ok(site.principal(old))
    await advance(1)
    for (const site of [one, two]) {
      const { code, message } = site.refusal(old)
      assert.deepEqual([code, message], ['invalid_api_key', 'Invalid API key provided'])
      assert.equal(site.principal(rotated.key)?.id, id)
    }
    assert.deepEqual((await two.show(id))['previous_keys'], [])
  })

  it('works again within the grace, each secret keeping its own end', async () => {
    const first = await one.create(settings)
    const second = await one.rotate(first.id, { grace_period_seconds: 100 })
    const third = await one.rotate(first.id, { grace_period_seconds: 10 })
    assert.equal((third['previous_keys'] as unknown[]).length, 2)
    const usable = (): boolean[] =>
      [first, second, third].map(({ key }) => {
        try {
          return one.principal(key)?.id === first.id
        } catch {
          return false
        }
      })
    assert.deepEqual(usable(), [true, true, true])
    await advance(10_000)
    assert.deepEqual(usable(), [true, false, true])
    await advance(90_000)
    assert.deepEqual(usable(), [false, false, true])
  })

  it('leaves the secrets of all that race, and forgets those that are over', async () => {
    const { id, key } = await one.create(settings)
    const rotated = await Promise.all(
      Array.from({ length: 8 }, (_, index) => (index % 2 === 0 ? one : two).rotate(id, { grace_period_seconds: 50 })),
    )
    for (const site of [one, two])
      for (const each of [key, ...rotated.map((answer) => answer.key)])
        await withinOneSecond(() => assert.equal(site.principal(each)?.id, id))
    await advance(50_000)
    await one.rotate(id)
    assert.equal(((await one.show(id))['previous_keys'] as unknown[]).length, 1)
  })

  it('lasts a day if nothing is said, and no longer than the key itself', async () => {
    const { id, key } = await one.create(settings)
    await one.rotate(id)
    await advance(86_399_999)
    assert.ok(one.principal(key))
    await advance(1)
    one.refusal(key)
    const expiring = await one.create({ expires_at: new Date(one.instance.clock.now() + 5000).toISOString() })
    const next = await one.rotate(expiring.id)
    // It has read all that there is to read, so that only the time can end the key.
    await withinOneSecond(() => assert.ok(two.principal(next.key)))
    await advance(5000)
    for (const site of [one, two])
      for (const each of [expiring.key, next.key]) assert.equal(site.refusal(each).status, 401)
    assert.equal((await refused(one.rotate(expiring.id))).code, 'conflict')
  })

  it('is over for all secrets at once when the key is revoked', async () => {
    const { id, key } = await one.create(settings)
    const { key: next } = await one.rotate(id)
    await withinOneSecond(() => assert.ok(two.principal(next)))
    await two.revoke(id)
    for (const each of [key, next]) {
      two.refusal(each)
      await withinOneSecond(() => void one.refusal(each))
    }
    assert.deepEqual((await one.show(id))['previous_keys'], [])
    assert.equal((await refused(one.rotate(id))).code, 'conflict')
  })

  it('is read by an instance that starts within the grace', async () => {
    const url = await server.createDatabase()
    const here = await sites.start(await sites.open({ url }))
    const { id, key } = await here.create()
    const { key: next } = await here.rotate(id)
    const there = await sites.start(await sites.open({ url }))
    for (const each of [key, next]) assert.equal(there.principal(each)?.id, id)
  })

  it('refuses a grace that is none, unknown keys, and keys that reach further than the caller', async () => {
    const { id } = await one.create()
    for (const grace of [0, -1, 1.5, '60', 604_801])
      assert.deepEqual(mistakesOf(await refused(one.rotate(id, { grace_period_seconds: grace }))), [
        'grace_period_seconds must be a whole number from 1 to 604800; to end a key at once, revoke it and make another',
      ])
    assert.equal((await refused(one.rotate(id, { grace: 1 }))).code, 'invalid_request_error')
    assert.equal((await refused(one.rotate(crypto.randomUUID()))).code, 'not_found')
    const limited = { id: 'limited', scopes: ['admin'], allowedModels: ['gpt-*'] }
    assert.equal((await refused(one.rotate(id, {}, limited))).code, 'model_not_allowed')
    const narrow = await one.create({ allowed_models: ['gpt-4o'] })
    assert.ok(await one.rotate(narrow.id, {}, limited))
  })

  it('keeps at most 100 secrets that are still valid', async () => {
    const { id } = await one.create()
    for (let count = 0; count < 100; count++) await one.rotate(id)
    const { code, message } = await refused(one.rotate(id))
    assert.equal(code, 'conflict')
    assert.match(message, /100 secrets/)
    await advance(86_400_000)
    assert.ok(await one.rotate(id))
  })

  it('writes no secret anywhere', async () => {
    const { id, key } = await one.create()
    const { key: next } = await one.rotate(id)
    const rows = JSON.stringify(await one.instance.database.query('select * from auth_api_keys'))
    const seen = [rows, JSON.stringify(await one.show(id)), ...one.instance.log, ...two.instance.log].join('\n')
    for (const secret of [key, next]) assert.ok(!seen.includes(secret.slice('gw_live_'.length + 5)))
  })
})

describe('auth: several instances', () => {
  it('see changes of a key within a second', async () => {
    const { id, key } = await one.create(settings)
    await withinOneSecond(() => assert.ok(two.principal(key)))
    await one.change(id, { scopes: ['models'], ip_allowlist: ['10.0.0.0/8'], rate_limits: { tokens_per_day: 5 } })
    await withinOneSecond(() => {
      assert.equal(two.refusal(key).code, 'ip_not_allowed')
      assert.deepEqual(two.principal(key, '10.1.1.1')?.rateLimits, { tokensPerDay: 5 })
      assert.deepEqual(two.principal(key, '10.1.1.1')?.scopes, ['models'])
    })
  })

  it('refuse a key whose limits were made nonsense by hand', async () => {
    const { id, key } = await one.create(settings)
    const good = await one.create(settings)
    await one.instance.database.query(
      `update auth_api_keys set rate_limits = '{"requests_per_minute": -1}' where id = $1`,
      [id],
    )
    for (const site of [one, two]) await withinOneSecond(() => assert.equal(site.refusal(key).status, 401))
    assert.ok(one.principal(good.key))
    assert.ok(one.instance.log.some((line) => line.includes(id) && line.includes('not valid')))
  })
})
