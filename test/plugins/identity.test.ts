import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject, Row } from '../../core/contract/plugin.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { pluginSuite } from '../../core/testing/plugin-suite.ts'
import identity from '../../plugins/identity/index.ts'
import type { Identity, OwnerKind } from '../../core/contract/plugin.ts'
import { OwnerIndex } from '../../plugins/identity/owner-index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { pluginInstance, withinOneSecond } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const nobody = '00000000-0000-4000-8000-000000000000'
const refreshMs = 300_000
const away = Object.assign(new Error('The database cannot be reached'), { code: 'database_unavailable' })
const organizations = '/admin/v1/organizations'
const opened: OpenedDatabase[] = []
const instances: PluginInstance[] = []
let server: PostgresServer

before(async () => {
  server = await startPostgres()
})

after(async () => {
  for (const { hooks } of instances) await hooks.stop?.()
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

async function start(database: OpenedDatabase, options: JsonObject = {}): Promise<PluginInstance> {
  const instance = await pluginInstance(identity, database, options)
  instances.push(instance)
  await instance.hooks.start?.()
  return instance
}

/** Two instances of the gateway on one database. */
async function pair(): Promise<[PluginInstance, PluginInstance]> {
  const url = await server.createDatabase()
  return [await start(await connect(url)), await start(await connect(url))]
}

const of = ({ hooks }: PluginInstance): Identity => hooks.services?.['identity'] as Identity

/** Kinds and names of a chain, nearest first. */
function named(instance: PluginInstance, kind: OwnerKind, id: string): string[] | undefined {
  return of(instance)
    .chain(kind, id)
    ?.map((owner) => `${owner.kind} ${owner.name}`)
}

/** Inserts a row by hand, as a script of the operator would. */
async function insert(database: OpenedDatabase, table: string, row: Row): Promise<string> {
  const columns = Object.keys(row)
  const [made] = await database.query<{ id: string }>(
    `insert into identity_${table} (${columns.join(', ')}) values (${columns.map((_, at) => `$${at + 1}`).join(', ')})
     returning ${table === 'team_members' ? 'user_id as id' : 'id'}`,
    Object.values(row),
  )
  return made!.id
}

pluginSuite(identity, { database: embedded })

for (const kind of ['PostgreSQL', 'embedded'] as const)
  describe(`identity: chains (${kind})`, () => {
    let database: OpenedDatabase
    let instance: PluginInstance
    const ids: Record<string, string> = {}

    before(async () => {
      database = await (kind === 'embedded' ? embedded() : connect())
      await (await pluginInstance(identity, database)).hooks.stop?.()
      ids['acme'] = await insert(database, 'organizations', {
        slug: 'acme',
        name: 'Acme',
        budgets: JSON.stringify([{ period: 'monthly', limit_usd: 100, warn_at: 0.5 }]),
        rate_limits: JSON.stringify({ requests_per_minute: 10 }),
      })
      ids['other'] = await insert(database, 'organizations', { slug: 'other' })
      for (const [slug, organization] of [
        ['red', 'acme'],
        ['green', 'other'],
        ['blue', 'acme'],
      ] as const)
        ids[slug] = await insert(database, 'teams', { slug, organization_id: ids[organization] })
      ids['alone'] = await insert(database, 'projects', { slug: 'alone', organization_id: ids['acme'] })
      ids['search'] = await insert(database, 'projects', {
        slug: 'search',
        organization_id: ids['acme'],
        team_id: ids['red'],
      })
      ids['ci'] = await insert(database, 'service_accounts', { slug: 'ci', organization_id: ids['other'] })
      ids['alice'] = await insert(database, 'users', {
        external_id: 'alice',
        name: 'Alice',
        organization_id: ids['other'],
      })
      ids['bob'] = await insert(database, 'users', { external_id: 'bob@example.com' })
      for (const [at, team] of ['red', 'green', 'blue'].entries())
        await insert(database, 'team_members', {
          team_id: ids[team],
          user_id: ids['alice'],
          created_at: new Date(1_000_000 + at),
        })
      instance = await start(database)
    })

    it('begin with the owner and end with its organization', () => {
      assert.deepEqual(named(instance, 'organization', ids['acme']!), ['organization Acme'])
      assert.deepEqual(named(instance, 'team', ids['red']!), ['team red', 'organization Acme'])
      assert.deepEqual(named(instance, 'project', ids['search']!), ['project search', 'team red', 'organization Acme'])
      assert.deepEqual(named(instance, 'project', ids['alone']!), ['project alone', 'organization Acme'])
      assert.deepEqual(named(instance, 'service_account', ids['ci']!), ['service_account ci', 'organization other'])
    })

    it('of a user have its teams in the order of joining, then its organization, then those of its teams, each once', () => {
      assert.deepEqual(named(instance, 'user', ids['alice']!), [
        'user Alice',
        'team red',
        'team green',
        'team blue',
        'organization other',
        'organization Acme',
      ])
      assert.deepEqual(named(instance, 'user', ids['bob']!), ['user bob@example.com'])
    })

    it('have the limits of each', () => {
      const [project, team, organization] = of(instance).chain('project', ids['search']!)!
      assert.deepEqual(project, { kind: 'project', id: ids['search'], name: 'search' })
      assert.deepEqual(team, { kind: 'team', id: ids['red'], name: 'red' })
      assert.deepEqual(organization, {
        kind: 'organization',
        id: ids['acme'],
        name: 'Acme',
        budgets: [{ period: 'monthly', limitMicros: 100_000_000, warnAt: 0.5 }],
        rateLimits: { requestsPerMinute: 10 },
      })
    })

    it('are the same list until something changes', () => {
      assert.equal(of(instance).chain('user', ids['alice']!), of(instance).chain('user', ids['alice']!))
    })

    it('do not exist for nobody', () => {
      for (const id of [nobody, '', '__proto__', ids['red']!])
        assert.equal(of(instance).chain('project', id), undefined)
      assert.equal(of(instance).chain('constructor' as OwnerKind, nobody), undefined)
    })

    it('are found by what others call their owner', () => {
      assert.equal(of(instance).find('organization', 'acme'), ids['acme'])
      assert.equal(of(instance).find('user', 'bob@example.com'), ids['bob'])
      for (const name of ['Acme', 'bob', 'red', '__proto__', '']) {
        assert.equal(of(instance).find('organization', name), undefined)
        assert.equal(of(instance).find('user', name), undefined)
      }
    })

    it('cost no statement', () => {
      const before = instance.database.statements.length
      for (const [name, id] of Object.entries(ids)) {
        for (const each of ['organization', 'team', 'project', 'user', 'service_account'] as const)
          of(instance).chain(each, id)
        of(instance).find('user', name)
      }
      assert.equal(instance.database.statements.length, before)
    })
  })

describe('identity: many owners', () => {
  it('are all read, in pages', async () => {
    const database = await connect()
    await pluginInstance(identity, database)
    await database.query(
      `with o as (insert into identity_organizations (slug) select 'o' || n from generate_series(1, 2500) n returning id, slug)
       insert into identity_projects (organization_id, slug) select id, slug from o`,
    )
    const instance = await start(database)
    const projects = await database.query<{ id: string; slug: string }>('select id, slug from identity_projects')
    assert.equal(projects.length, 2500)
    for (const { id, slug } of projects)
      assert.deepEqual(named(instance, 'project', id), [`project ${slug}`, `organization ${slug}`])
  })

  it('may be the teams of one user', async () => {
    const database = await connect()
    await pluginInstance(identity, database)
    const organization = await insert(database, 'organizations', { slug: 'acme' })
    const user = await insert(database, 'users', { external_id: 'alice' })
    await database.query(
      `with t as (insert into identity_teams (organization_id, slug) select $1, 't' || n from generate_series(1, 100) n returning id)
       insert into identity_team_members (team_id, user_id) select id, $2 from t`,
      [organization, user],
    )
    const chain = of(await start(database)).chain('user', user)!
    assert.equal(chain.length, 102)
    assert.deepEqual(chain.at(-1), { kind: 'organization', id: organization, name: 'acme' })
    assert.equal(new Set(chain).size, 102)
  })
})

describe('identity: two instances', () => {
  let one: PluginInstance
  let two: PluginInstance
  before(async () => {
    ;[one, two] = await pair()
  })

  it('see each other change anything within a second', async () => {
    const acme = (await one.route('POST', organizations, { body: { slug: 'acme' } })).body['id'] as string
    await withinOneSecond(() => assert.deepEqual(named(two, 'organization', acme), ['organization acme']))
    const params = { organization: 'acme', team: 'red' }
    const team = (await one.route('POST', `${organizations}/:organization/teams`, { params, body: { slug: 'red' } }))
      .body['id'] as string
    const user = (await two.route('POST', '/admin/v1/users', { body: { external_id: 'alice' } })).body['id'] as string
    assert.deepEqual(named(two, 'user', user), ['user alice'])
    await one.route('POST', `${organizations}/:organization/teams/:team/members`, { params, body: { user_id: user } })
    assert.deepEqual(named(one, 'user', user), ['user alice', 'team red', 'organization acme'])
    await withinOneSecond(() =>
      assert.deepEqual(named(two, 'user', user), ['user alice', 'team red', 'organization acme']),
    )
    const version = of(two).version
    await one.route('PATCH', `${organizations}/:organization`, { params, body: { name: 'Acme Limited' } })
    await withinOneSecond(() => assert.deepEqual(named(two, 'team', team), ['team red', 'organization Acme Limited']))
    assert.ok(of(two).version > version)
    await one.route('DELETE', `${organizations}/:organization/teams/:team`, { params })
    await withinOneSecond(() => {
      assert.equal(of(two).chain('team', team), undefined)
      assert.deepEqual(named(two, 'user', user), ['user alice'])
    })
  })

  it('see what is changed by hand, a name that goes to somebody else too', async () => {
    const first = await insert(opened.at(-1)!, 'users', { external_id: 'first' })
    const second = await insert(opened.at(-1)!, 'users', { external_id: 'second' })
    await opened.at(-1)!.tx(async (transaction) => {
      const rename = (id: string, name: string): Promise<unknown> =>
        transaction.query('update identity_users set external_id = $2 where id = $1', [id, name])
      await rename(first, 'nobody')
      await rename(second, 'first')
      await rename(first, 'second')
    })
    for (const instance of [one, two])
      await withinOneSecond(() => {
        assert.equal(of(instance).find('user', 'first'), second)
        assert.equal(of(instance).find('user', 'second'), first)
      })
  })

  it('know an owner above that the other has just made', async () => {
    // The second instance hears nothing, as if the news were still on its way.
    const deaf = await pluginInstance(identity, opened.at(-1)!)
    instances.push(deaf)
    deaf.database.listen = async () => async () => undefined
    await deaf.hooks.start?.()
    await one.route('POST', organizations, { body: { slug: 'new' } })
    const params = { organization: 'new' }
    const { body: team } = await one.route('POST', `${organizations}/:organization/teams`, {
      params,
      body: { slug: 'blue' },
    })
    const { body: project } = await deaf.route('POST', `${organizations}/:organization/projects`, {
      params,
      body: { slug: 'p', team_id: team['id'] },
    })
    assert.deepEqual(named(deaf, 'project', project['id'] as string), ['project p', 'team blue', 'organization new'])
  })
})

describe('identity: news that never come', () => {
  it('are made up for when the connection is back', async () => {
    const url = await server.createDatabase()
    const database = await connect(url)
    const instance = await start(database)
    const id = await insert(database, 'organizations', { slug: 'acme' })
    await withinOneSecond(() => assert.ok(of(instance).chain('organization', id)))
    const other = await connect(url)
    await other.query('alter table identity_organizations disable trigger user')
    await other.query(`update identity_organizations set name = 'Unheard of'`)
    await other.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen%'`,
    )
    const deadlineMs = performance.now() + 10_000
    while (named(instance, 'organization', id)?.[0] !== 'organization Unheard of') {
      assert.ok(performance.now() < deadlineMs, 'it was never read again')
      await new Promise((resolve) => setImmediate(resolve))
    }
  })

  it('are made up for now and then in any case', async () => {
    const database = await connect()
    const instance = await start(database)
    const id = await insert(database, 'organizations', { slug: 'acme' })
    await withinOneSecond(() => assert.ok(of(instance).chain('organization', id)))
    await database.query('alter table identity_organizations disable trigger user')
    await database.query(`delete from identity_organizations`)
    await instance.clock.advance(refreshMs - 1)
    assert.ok(of(instance).chain('organization', id))
    await instance.clock.advance(1)
    await withinOneSecond(() => assert.equal(of(instance).chain('organization', id), undefined))
  })

  it('can be anything, and harm nobody', async () => {
    const database = await connect()
    const instance = await start(database)
    for (const payload of ['', ':', 'organization', 'organization:x', `__proto__:${nobody}`, `king:${nobody}`])
      await database.notify('identity_owners', payload)
    const id = await insert(database, 'organizations', { slug: 'acme' })
    await withinOneSecond(() => assert.ok(of(instance).chain('organization', id)))
    assert.deepEqual(instance.log, [])
  })
})

describe('identity: a database that fails', () => {
  it('leaves what is known, and is tried again less and less often', async () => {
    const database = await connect()
    const instance = await start(database)
    const id = await insert(database, 'organizations', { slug: 'acme' })
    await withinOneSecond(() => assert.ok(of(instance).chain('organization', id)))
    let tries = 0
    instance.database.before = () => {
      tries += 1
      throw away
    }
    await database.query(`update identity_organizations set name = 'New'`)
    await withinOneSecond(() => assert.equal(tries, 1))
    assert.deepEqual(named(instance, 'organization', id), ['organization acme'])
    for (const [delayMs, expected] of [
      [499, 1],
      [1, 2],
      [999, 2],
      [1, 3],
    ] as const) {
      await instance.clock.advance(delayMs)
      assert.equal(tries, expected)
    }
    assert.equal(
      instance.log.filter((line) => line.includes('could not be read again')).length,
      1,
      'one line, not many',
    )
    instance.database.before = () => undefined
    await instance.clock.advance(2000)
    await withinOneSecond(() => assert.deepEqual(named(instance, 'organization', id), ['organization New']))
    await withinOneSecond(() => assert.match(instance.log.at(-1)!, /up to date again/))
  })

  it('does not hold up the answer to a change that was made', async () => {
    const database = await connect()
    const instance = await start(database)
    instance.database.before = (sql) => {
      if (sql.includes('any($1')) throw away
    }
    const { status, body } = await instance.route('POST', organizations, { body: { slug: 'acme' } })
    assert.equal(status, 201)
    instance.database.before = () => undefined
    // The news of the change may have come meanwhile and failed too, and then it is tried later.
    await instance.clock.advance(2000)
    await withinOneSecond(() => assert.ok(of(instance).chain('organization', body['id'] as string)))
  })

  it('keeps the gateway from starting', async () => {
    const instance = await pluginInstance(identity, await connect())
    instance.database.before = () => {
      throw away
    }
    await assert.rejects(async () => instance.hooks.start?.(), away)
    await instance.hooks.stop?.()
  })

  it('in the midst of a reading of all changes nothing', async () => {
    const database = await connect()
    const instance = await start(database)
    const id = await insert(database, 'organizations', { slug: 'acme' })
    await withinOneSecond(() => assert.ok(of(instance).chain('organization', id)))
    const version = of(instance).version
    let tries = 0
    instance.database.before = (sql) => {
      if (!sql.includes('identity_teams')) return
      tries += 1
      throw away
    }
    await instance.clock.advance(refreshMs)
    await withinOneSecond(() => assert.equal(tries, 1))
    assert.ok(of(instance).chain('organization', id))
    assert.equal(of(instance).version, version)
  })
})

describe('identity: limits written by hand', () => {
  it('that cannot be understood are told, and the others hold', async () => {
    const database = await connect()
    const instance = await start(database)
    const id = await insert(database, 'organizations', {
      slug: 'acme',
      budgets: JSON.stringify([{ period: 'hourly', limit_usd: 1 }]),
      rate_limits: JSON.stringify({ requests_per_minute: 5, tokens_per_day: 'many' }),
    })
    await withinOneSecond(() =>
      assert.deepEqual(of(instance).chain('organization', id), [
        { kind: 'organization', id, name: 'acme', rateLimits: { requestsPerMinute: 5 } },
      ]),
    )
    assert.equal(instance.log.length, 1)
    assert.match(instance.log[0]!, /some limits of an owner are not valid.*hourly|budgets\[0\]\.period/)
  })
})

describe('identity: a change during a reading of all', () => {
  it('is not lost, wherever it falls', async () => {
    const database = await connect()
    const instance = await start(database)
    const id = await insert(database, 'organizations', { slug: 'acme', name: 'name 0' })
    await withinOneSecond(() => assert.ok(of(instance).chain('organization', id)))
    for (const [at, table] of [
      'identity_service_accounts',
      'identity_projects',
      'identity_users',
      'identity_teams',
      'identity_organizations',
    ].entries())
      for (const when of ['before', 'after'] as const) {
        const name = `name ${at} ${when}`
        let done = false
        instance.database[when] = async (sql) => {
          if (done || !sql.includes(`${table} `) || !sql.includes('limit $2')) return
          done = true
          await database.query('update identity_organizations set name = $1', [name])
        }
        await instance.clock.advance(refreshMs)
        await withinOneSecond(() => {
          assert.ok(done)
          assert.deepEqual(named(instance, 'organization', id), [`organization ${name}`])
        })
        instance.database[when] = () => undefined
      }
  })

  it('does not wait for the end of it', async () => {
    const database = await connect()
    const instance = await start(database)
    const id = await insert(database, 'organizations', { slug: 'acme', name: 'old' })
    await withinOneSecond(() => assert.deepEqual(named(instance, 'organization', id), ['organization old']))
    const heard = Promise.withResolvers<void>()
    const stop = await database.listen('identity_owners', () => heard.resolve())
    const end = Promise.withResolvers<void>()
    instance.database.after = async (sql) => {
      if (!sql.includes('limit $2') || !sql.includes('identity_projects ')) return
      await database.query(`update identity_organizations set name = 'new'`)
      await heard.promise
    }
    instance.database.before = async (sql) => {
      if (sql.includes('limit $2') && sql.includes('identity_teams ')) await end.promise
    }
    await instance.clock.advance(refreshMs)
    await withinOneSecond(() => assert.deepEqual(named(instance, 'organization', id), ['organization new']))
    end.resolve()
    await stop()
  })
})

describe('identity: a name', () => {
  it('stays with its new owner when the old one is heard of later', () => {
    const index = new OwnerIndex()
    const user = (id: string, foundBy: string): void =>
      index.set({ kind: 'user', id, name: id, limits: {}, organizationId: null, teamIds: [], foundBy })
    user('first', 'alice')
    user('second', 'alice')
    user('first', 'bob')
    assert.deepEqual([index.find('user', 'alice'), index.find('user', 'bob')], ['second', 'first'])
    index.delete({ kind: 'user', id: 'second' })
    assert.equal(index.find('user', 'alice'), undefined)
    assert.equal(index.size, 1)
  })
})

describe('identity: whatever is changed', () => {
  const kinds = {
    organization: 'organizations',
    team: 'teams',
    project: 'projects',
    user: 'users',
    service_account: 'service_accounts',
  } as const
  const pick = fc.nat({ max: 5 })
  const operation = fc.oneof(
    fc.record({
      do: fc.constant('insert' as const),
      kind: fc.constantFrom(...(Object.keys(kinds) as OwnerKind[])),
      parent: pick,
      team: fc.option(pick),
    }),
    fc.record({
      do: fc.constant('rename' as const),
      kind: fc.constantFrom(...(Object.keys(kinds) as OwnerKind[])),
      which: pick,
    }),
    fc.record({
      do: fc.constant('delete' as const),
      kind: fc.constantFrom(...(Object.keys(kinds) as OwnerKind[])),
      which: pick,
    }),
    fc.record({ do: fc.constant('join' as const), which: pick, team: pick }),
    fc.record({ do: fc.constant('leave' as const), which: pick, team: pick }),
    fc.record({ do: fc.constant('move' as const), which: pick, team: fc.option(pick) }),
    fc.record({ do: fc.constant('refresh' as const) }),
  )

  type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

  it('every instance knows what is in the database', async () => {
    const [one, two] = await pair()
    const database = opened.at(-1)!
    let names = 0
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 25 }), async (operations) => {
        for (const each of operations) await perform(each)
        for (const instance of [one, two])
          await withinOneSecond(async () => assert.deepEqual(known(instance), await expected()))
      }),
      { numRuns: 25 },
    )

    async function ids(kind: OwnerKind): Promise<string[]> {
      const rows = await database.query<{ id: string }>(
        `select id from identity_${kinds[kind]} order by created_at, id`,
      )
      return rows.map(({ id }) => id)
    }

    async function any(kind: OwnerKind, at: number | null): Promise<string | null> {
      const all = await ids(kind)
      return at === null || all.length === 0 ? null : all[at % all.length]!
    }

    async function perform(step: Operation): Promise<void> {
      try {
        if (step.do === 'refresh') await one.clock.advance(refreshMs)
        else if (step.do === 'insert') {
          const name = `n${++names}`
          const organization = await any('organization', step.parent)
          await insert(database, kinds[step.kind], {
            ...(step.kind === 'user' ? { external_id: name } : { slug: name }),
            ...(step.kind !== 'organization' && { organization_id: organization }),
            ...(step.kind === 'project' && { team_id: await any('team', step.team) }),
          })
        } else if (step.do === 'join')
          await insert(database, 'team_members', {
            team_id: await any('team', step.team),
            user_id: await any('user', step.which),
          })
        else if (step.do === 'leave')
          await database.query('delete from identity_team_members where team_id = $1 and user_id = $2', [
            await any('team', step.team),
            await any('user', step.which),
          ])
        else if (step.do === 'move')
          await database.query('update identity_projects set team_id = $2 where id = $1', [
            await any('project', step.which),
            await any('team', step.team),
          ])
        else if (step.do === 'rename')
          await database.query(`update identity_${kinds[step.kind]} set name = $2 where id = $1`, [
            await any(step.kind, step.which),
            `n${++names}`,
          ])
        else
          await database.query(`delete from identity_${kinds[step.kind]} where id = $1`, [
            await any(step.kind, step.which),
          ])
      } catch (error) {
        // What the tables do not allow: a child of nobody, a team of another organization, a parent that is needed.
        assert.match(String((error as { code?: unknown }).code), /^(23502|23503|23505)$/)
      }
    }

    /** By SQL of its own: kinds and ids of every chain. */
    async function expected(): Promise<Record<string, string[]>> {
      const rows = await database.query<{ key: string; chain: string[] }>(`
        select 'organization ' || id as key, array['organization ' || name_of] as chain
          from (select id, coalesce(name, slug) as name_of from identity_organizations) o
        union all
        select 'team ' || t.id, array['team ' || coalesce(t.name, t.slug), 'organization ' || coalesce(o.name, o.slug)]
          from identity_teams t join identity_organizations o on o.id = t.organization_id
        union all
        select 'service_account ' || s.id,
               array['service_account ' || coalesce(s.name, s.slug), 'organization ' || coalesce(o.name, o.slug)]
          from identity_service_accounts s join identity_organizations o on o.id = s.organization_id
        union all
        select 'project ' || p.id, array_remove(array['project ' || coalesce(p.name, p.slug),
               'team ' || coalesce(t.name, t.slug), 'organization ' || coalesce(o.name, o.slug)], null)
          from identity_projects p join identity_organizations o on o.id = p.organization_id
          left join identity_teams t on t.id = p.team_id
        union all
        select 'user ' || u.id, array['user ' || coalesce(u.name, u.external_id)]
               || array(select 'team ' || coalesce(t.name, t.slug) from identity_team_members m
                          join identity_teams t on t.id = m.team_id where m.user_id = u.id)
               || array(select 'organization ' || coalesce(o.name, o.slug) from identity_organizations o
                         where o.id = u.organization_id or o.id in (select t.organization_id from identity_team_members m
                          join identity_teams t on t.id = m.team_id where m.user_id = u.id))
          from identity_users u`)
      return sorted(rows.map(({ key, chain }) => [key, chain]))
    }

    /** Everything that an instance knows, of ids that exist or did exist. */
    function known(instance: PluginInstance): Record<string, string[]> {
      const all = everSeen.flatMap((key): [string, string[]][] => {
        const [kind, id] = key.split(' ') as [OwnerKind, string]
        const chain = named(instance, kind, id)
        return chain ? [[key, chain]] : []
      })
      return sorted(all)
    }
  })

  const everSeen: string[] = []

  function sorted(entries: [string, string[]][]): Record<string, string[]> {
    for (const [key] of entries) if (!everSeen.includes(key)) everSeen.push(key)
    return Object.fromEntries(
      entries
        .map(([key, chain]) => [key, [chain[0]!, ...chain.slice(1).toSorted()]] as [string, string[]])
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    )
  }
})
