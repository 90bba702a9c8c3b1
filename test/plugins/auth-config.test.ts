import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { JsonObject, Owner } from '../../core/contract/plugin.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { harness } from '../../core/testing/harness.ts'
import auth from '../../plugins/auth/index.ts'
import type { BootstrapKey } from '../../plugins/auth/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { AuthSites } from './auth-site.ts'
import type { AuthSite } from './auth-site.ts'
import { KnownOwners, ownersPlugin } from './known-owners.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const operatorKey = 'an-operators-own-admin-key-0123456789'
const sharedKey = 'sk-something-of-another-shape-0123456789'
const shapedKey = `gw_live_${'k'.repeat(43)}`
const sites = new AuthSites()
let database: OpenedDatabase

before(async () => {
  database = await sites.open({ dataDirectory: await preparedDataDirectory(), logger })
})

after(() => sites.stop())

const start = (options: JsonObject, owners?: KnownOwners): Promise<AuthSite> => sites.start(database, options, owners)
const createFirstKey = ({ instance }: AuthSite): Promise<string | undefined> =>
  (instance.hooks.services!['bootstrap-key'] as BootstrapKey).createFirstKey()

describe("auth: the operator's own key", () => {
  it('has every scope, and is stored and shown nowhere', async () => {
    const site = await start({ bootstrap_key: operatorKey })
    const principal = site.principal(operatorKey)
    assert.deepEqual(principal, {
      id: principal?.id,
      name: 'bootstrap key',
      scopes: ['chat', 'completions', 'embeddings', 'models', 'admin'],
    })
    assert.match(principal?.id ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.equal(site.refusal(shapedKey).code, 'invalid_api_key')
    assert.equal(site.principal(`${operatorKey}x`), undefined, 'anything else may be for others')
    assert.equal(site.principal(operatorKey.replace('an', 'no')), undefined)
    const { created_by: creator } = await site.create({}, principal)
    assert.equal(creator, principal?.id)
    const { id } = await site.create()
    await site.instance.clock.advance(60_000)
    const rows = JSON.stringify(await database.query('select * from auth_api_keys'))
    const seen = [rows, JSON.stringify([await site.show(id), await site.list()]), ...site.instance.log].join('\n')
    assert.ok(!seen.includes(operatorKey))
  })

  it('makes no other first key necessary', async () => {
    const fresh = await sites.open({ dataDirectory: await preparedDataDirectory(), logger })
    assert.equal(await createFirstKey(await sites.start(fresh, { bootstrap_key: operatorKey })), undefined)
    assert.match((await createFirstKey(await sites.start(fresh))) ?? '', /^gw_live_/)
  })

  it('may look like a key of the database', async () => {
    const site = await start({ bootstrap_key: shapedKey })
    assert.equal(site.principal(shapedKey)?.name, 'bootstrap key')
  })
})

describe('auth: keys of the config', () => {
  const owner: Owner = { kind: 'team', id: crypto.randomUUID(), name: 'Team' }
  const declared = {
    key: sharedKey,
    scopes: ['chat'],
    allowed_models: ['test/*'],
    owner: 'team:acme/search',
    ip_allowlist: ['10.0.0.0/8'],
    budgets: [{ period: 'daily', limit_usd: 2 }],
    rate_limits: { requests_per_minute: 3 },
    expires_at: '2026-06-01',
  }

  it('have everything that others have', async () => {
    const owners = new KnownOwners()
    owners.set([owner], 'acme/search')
    const byId = { key: operatorKey, owner: `team:${owner.id}` }
    const site = await start({ keys: { 'ci.runner': declared, 'by-id': byId } }, owners)
    assert.deepEqual(site.principal(operatorKey)?.owners, [owner])
    const principal = site.principal(sharedKey, '10.0.0.1')
    assert.deepEqual(principal, {
      id: principal?.id,
      name: 'ci.runner',
      scopes: ['chat'],
      allowedModels: ['test/*'],
      budgets: [{ period: 'daily', limitMicros: 2_000_000 }],
      rateLimits: { requestsPerMinute: 3 },
      owners: [owner],
    })
    assert.equal(site.refusal(sharedKey, '11.0.0.1').code, 'ip_not_allowed')
    const shown = await site.instance.route('GET', '/api/v1/key', { principal })
    assert.deepEqual(shown.body['expires_at'], new Date('2026-06-01'))
    await site.instance.clock.advance(Date.UTC(2026, 5, 1) - site.instance.clock.now())
    assert.equal(site.refusal(sharedKey, '10.0.0.1').code, 'invalid_api_key')
  })

  it('keep their id across restarts, changes of the secret and of all settings, and share it with nobody', async () => {
    const idOf = async (name: string, content: JsonObject): Promise<string | undefined> => {
      const { key, ...rest } = content
      return (await start({ bootstrap_key: operatorKey, keys: { [name]: { key, ...rest } } })).principal(key as string)
        ?.id
    }
    const id = await idOf('ci', { key: sharedKey })
    assert.ok(id)
    assert.equal(await idOf('ci', { key: `${sharedKey}-new`, scopes: ['admin'] }), id)
    assert.notEqual(await idOf('cd', { key: sharedKey }), id)
    const site = await start({ bootstrap_key: operatorKey, keys: { bootstrap_key: { key: sharedKey } } })
    assert.notEqual(site.principal(sharedKey)?.id, site.principal(operatorKey)?.id)
  })

  it('are refused, with a warning, until their owner exists', async () => {
    const owners = new KnownOwners()
    const site = await start({ keys: { ci: { key: sharedKey, owner: declared.owner } } }, owners)
    assert.equal(site.refusal(sharedKey).code, 'invalid_api_key')
    assert.equal(site.instance.log.filter((line) => line.includes('until its owner exists')).length, 1)
    owners.set([owner], 'acme/search')
    assert.ok(site.principal(sharedKey))
  })

  it('stop the start if they are not valid, each mistake with its path and none with a secret', async () => {
    const problemsOf = async (options: JsonObject): Promise<readonly string[]> => {
      let problems: readonly string[] = []
      await assert.rejects(
        harness({ plugins: [ownersPlugin(), [auth, options]], database, start: false }),
        (error: Error & { problems?: readonly { path: string; message: string }[] }) => {
          for (const secret of [operatorKey, sharedKey, 'too-short-a-key']) assert.ok(!error.message.includes(secret))
          problems = (error.problems ?? []).map(({ path, message }) => `${path} ${message}`)
          return true
        },
      )
      return problems
    }
    assert.deepEqual(
      (
        await problemsOf({
          bootstrap_key: 'too-short-a-key',
          keys: { ci: { key: 'too-short-a-key', scope: 'x' }, cd: {} },
        })
      ).toSorted(),
      [
        'plugins.auth.bootstrap_key must have at least 32 characters',
        'plugins.auth.keys.cd.key is missing',
        'plugins.auth.keys.ci.key must have at least 32 characters',
        'plugins.auth.keys.ci.scope is not a known key',
      ].toSorted(),
    )
    assert.deepEqual(
      await problemsOf({
        bootstrap_key: operatorKey,
        keys: {
          a: { key: operatorKey },
          b: {
            key: sharedKey,
            allowed_models: ['a*b'],
            ip_allowlist: ['10.0.0.0/99'],
            budgets: [{ period: 'daily' }],
            rate_limits: { requests: 1 },
            expires_at: 'soon',
            owner: 'tema:acme/search',
          },
        },
      }),
      [
        'plugins.auth.keys.a.key is the same as that of another key',
        'plugins.auth.keys.b.budgets[0].limit_usd must be an amount of dollars, from 0 to 9007199254',
        'plugins.auth.keys.b.rate_limits.requests is not known; known are requests_per_minute, requests_per_day, tokens_per_minute, tokens_per_day, concurrent_requests',
        'plugins.auth.keys.b.allowed_models[0] must be a model name, or a prefix that ends in one *',
        'plugins.auth.keys.b.expires_at must be a date, or a time with its zone: 2030-01-31T12:00:00Z',
        'plugins.auth.keys.b.ip_allowlist[0] must be an IP address, or a range such as 10.0.0.0/8',
        'plugins.auth.keys.b.owner must be a kind and a name, as project:acme/search; kinds are organization, team, project, user, service_account',
      ],
    )
  })

  it('that are over do not keep the gateway from starting', async () => {
    const site = await start({ keys: { old: { key: sharedKey, expires_at: '2001-01-01' } } })
    assert.equal(site.refusal(sharedKey).code, 'invalid_api_key')
  })

  it('have secrets that the effective config hides', async () => {
    const { effectiveConfig } = await import('../../core/boot/effective-config.ts')
    await using running = await harness({
      plugins: [ownersPlugin(), [auth, { bootstrap_key: operatorKey, keys: { ci: { key: sharedKey } } }]],
      database,
      start: false,
    })
    const text = JSON.stringify(effectiveConfig(running.gateway.loaded))
    assert.ok(text.includes('ci'))
    for (const secret of [operatorKey, sharedKey]) assert.ok(!text.includes(secret))
  })
})
