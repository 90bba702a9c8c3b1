import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parse } from 'smol-toml'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { harness } from '../../core/testing/index.ts'
import identity from '../../plugins/identity/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { identityGateway } from './identity-gateway.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const opened: OpenedDatabase[] = []
let server: PostgresServer

before(async () => {
  server = await startPostgres()
})
after(async () => {
  for (const database of opened) await database.close()
  await server.stop()
})

async function connect(url?: string): Promise<OpenedDatabase> {
  const database = await openDatabase({ url: url ?? (await server.createDatabase()), dataDirectory: '', logger })
  opened.push(database)
  return database
}

async function embedded(): Promise<OpenedDatabase> {
  const database = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
  opened.push(database)
  return database
}

const declared = parse(`
[organizations.acme]
name = "Acme"
budgets = [{ period = "monthly", limit_usd = 500, warn_at = 0.8 }]

[organizations.acme.teams.research]
rate_limits = { requests_per_minute = 600 }

[organizations.acme.projects.search]
team = "research"

[organizations.acme.service_accounts.ci]
description = "Builds and tests"

[organizations.other]

[users."alice@example.com"]
name = "Alice"
email = "alice@example.com"
organization = "other"
teams = { "acme/research" = "admin" }
`) as JsonObject

for (const kind of ['PostgreSQL', 'embedded'] as const)
  describe(`identity: owners of the config file (${kind})`, () => {
    let database: OpenedDatabase
    before(async () => {
      database = await (kind === 'embedded' ? embedded() : connect())
    })

    it('are there from the start', async () => {
      await using gateway = await identityGateway(database, declared)
      const user = gateway.identity.find('user', 'alice@example.com')!
      assert.deepEqual(
        gateway.identity.chain('user', user)!.map((owner) => `${owner.kind} ${owner.name}`),
        ['user Alice', 'team research', 'organization other', 'organization Acme'],
      )
      const teamId = gateway.identity.find('team', 'acme/research')!
      assert.equal(gateway.identity.chain('team', teamId)?.[0]?.name, 'research')
      assert.equal(gateway.identity.find('team', 'research'), undefined)
      assert.equal(gateway.identity.find('project', 'acme/research'), undefined)
      const acme = await gateway.call('GET', '/organizations/acme', 200)
      assert.equal(acme['managed_by'], 'config')
      assert.deepEqual(acme['budgets'], [{ period: 'monthly', limit_usd: 500, warn_at: 0.8 }])
      const project = await gateway.call('GET', '/organizations/acme/projects/search', 200)
      const team = await gateway.call('GET', '/organizations/acme/teams/research', 200)
      assert.equal(project['team_id'], team['id'])
      assert.deepEqual(team['rate_limits'], { requests_per_minute: 600 })
      const account = await gateway.call('GET', '/organizations/acme/service-accounts/ci', 200)
      assert.equal(account['description'], 'Builds and tests')
      const { role } = await gateway.call('GET', `/organizations/acme/teams/research/members/${user}`, 200)
      assert.equal(role, 'admin')
    })

    it('are changed in the file only, and what belongs to them by anybody', async () => {
      await using gateway = await identityGateway(database, declared)
      const user = gateway.identity.find('user', 'alice@example.com')!
      const paths = [
        '/organizations/other',
        ...['teams/research', 'projects/search', 'service-accounts/ci'].map((path) => `/organizations/acme/${path}`),
        `/users/${user}`,
      ]
      for (const path of paths)
        for (const method of ['PATCH', 'DELETE']) {
          const { code, message, details } = await gateway.refused(
            method,
            path,
            409,
            method === 'PATCH' ? { name: 'x' } : undefined,
          )
          assert.equal(code, 'conflict')
          assert.match(String(message), /^This .* is declared in the config file; change it there$/)
          assert.deepEqual(details, { managed_by: 'config' })
        }
      await gateway.call('POST', '/organizations/acme/projects', 201, { slug: 'mine' })
      await gateway.call('DELETE', '/organizations/acme/projects/mine', 200)
      await gateway.call('PATCH', `/organizations/acme/teams/research/members/${user}`, 200, { role: 'member' })
    })

    it('keep their ids, and are as the file says after each start', async () => {
      const ids = async (): Promise<unknown> =>
        database.query('select id, slug, updated_at from identity_organizations order by slug')
      const before = await ids()
      await using gateway = await identityGateway(database, declared)
      assert.deepEqual(await ids(), before, 'what is the same is not written')
      const user = gateway.identity.find('user', 'alice@example.com')!
      assert.equal(
        (await gateway.call('GET', `/organizations/acme/teams/research/members/${user}`, 200))['role'],
        'admin',
      )
      await using changed = await identityGateway(database, {
        ...declared,
        organizations: { ...(declared['organizations'] as JsonObject), acme: { name: 'Acme Limited' } },
        users: {},
      })
      const acme = await changed.call('GET', '/organizations/acme', 200)
      assert.equal(acme['name'], 'Acme Limited')
      assert.equal(acme['budgets'], null)
    })

    it('stay when the file no longer has them, and may then be changed', async () => {
      await using gateway = await identityGateway(database)
      const user = gateway.identity.find('user', 'alice@example.com')!
      for (const path of [
        ...['teams/research', 'projects/search', 'service-accounts/ci'].map((each) => `/organizations/acme/${each}`),
        '/organizations/acme',
        `/users/${user}`,
      ]) {
        assert.equal((await gateway.call('GET', path, 200))['managed_by'], 'api')
        await gateway.call('PATCH', path, 200, { name: 'x' })
      }
    })

    it('take over what the admin API has made', async () => {
      await using gateway = await identityGateway(database)
      const { id } = await gateway.call('POST', '/organizations', 201, { slug: 'mine', name: 'Mine' })
      await using declaring = await identityGateway(database, { organizations: { mine: {} } })
      const mine = await declaring.call('GET', '/organizations/mine', 200)
      assert.deepEqual(
        { id: mine['id'], name: mine['name'], managed_by: mine['managed_by'] },
        {
          id,
          name: null,
          managed_by: 'config',
        },
      )
    })
  })

describe('identity: several instances that start together', () => {
  it('declare once', async () => {
    const url = await server.createDatabase()
    // Migrates, which is not what is tested here.
    await (await identityGateway(await connect(url)))[Symbol.asyncDispose]()
    const gateways = await Promise.all(
      Array.from({ length: 4 }, async () => identityGateway(await connect(url), declared)),
    )
    const acme = gateways.map(({ identity: service }) => service.find('organization', 'acme'))
    assert.equal(new Set(acme).size, 1)
    assert.ok(acme[0])
    for (const gateway of gateways) await gateway[Symbol.asyncDispose]()
  })
})

describe('identity: mistakes of the config file', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      '[organizations.acme]\nnmae = "x"',
      /plugins\.identity\.organizations\.acme\.nmae: is not a known key\s+Did you mean "name"/,
    ],
    ['[organizations.ACME]', /organizations\.ACME: must match .*, not "ACME"\s+A slug has 1 to 64 small letters/],
    [
      '[organizations.acme]\nbudgets = [{ period = "yearly", limit_usd = 1 }]',
      /organizations\.acme\.budgets\[0\]\.period: must be one of/,
    ],
    ['[organizations.acme]\nbudgets = [{ period = "daily" }]', /acme\.budgets\[0\]\.limit_usd: is missing/],
    [
      '[organizations.acme]\nbudgets = [{ period = "daily", limit_usd = 1 }, { period = "daily", limit_usd = 2 }]',
      /organizations\.acme\.budgets\[1\]\.period: is given twice/,
    ],
    [
      '[organizations.acme]\nbudgets = [{ period = "daily", limit_usd = inf }]',
      /organizations\.acme\.budgets\[0\]\.limit_usd/,
    ],
    [
      '[organizations.acme.teams.a]\nrate_limits = { requests_per_minute = -1 }',
      /teams\.a\.rate_limits\.requests_per_minute: must be 0 or more/,
    ],
    [
      '[organizations.acme.projects.a]\nteam = "nobody"',
      /organizations\.acme\.projects\.a: names the team "acme\/nobody", which is not declared/,
    ],
    [
      '[users.alice]\norganization = "nobody"',
      /users\."alice": names the organization "nobody", which is not declared/,
    ],
    [
      '[users.alice]\nteams = { "acme/a" = "member" }',
      /users\."alice": names the team "acme\/a", which is not declared/,
    ],
    [
      '[organizations.acme.teams.a]\n[users.alice]\nteams = { "acme/a" = "king" }',
      /users\.alice\.teams.*must be one of "member", "admin"/,
    ],
    ['[users."a\\u0000b"]', /users\."a\\u0000b": must not contain control characters/],
    ['[organizations.acme]\nname = "a\\nb"', /organizations\.acme\.name: must not contain control characters/],
  ]
  for (const [toml, expected] of cases)
    it(`are told before anything starts: ${JSON.stringify(toml)}`, async () => {
      await assert.rejects(
        async () => {
          const started = await harness({ plugins: [[identity, parse(toml)]], start: false })
          await started.stop()
        },
        (error: Error) => {
          assert.match(error.message, expected)
          return true
        },
      )
    })

  it('are told all at once', async () => {
    const toml =
      '[users.alice]\norganization = "nobody"\nteams = { "a/b" = "member" }\n[organizations.acme.projects.a]\nteam = "c"'
    await assert.rejects(
      harness({ plugins: [[identity, parse(toml)]], start: false }),
      /projects\.a: names the team "acme\/c"[^]*users\."alice": names the organization "nobody"[^]*team "a\/b"/,
    )
  })
})
