import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { identityGateway } from './identity-gateway.ts'
import type { IdentityGateway } from './identity-gateway.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const nobody = '00000000-0000-4000-8000-000000000000'
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const budgets = [{ period: 'monthly', limit_usd: 12.5, warn_at: 0.8, overage_usd: 1 }]
const rateLimits = { requests_per_minute: 60, tokens_per_day: 1000 }

let server: PostgresServer
before(async () => {
  server = await startPostgres()
})
after(() => server.stop())

const errorsOf = (error: JsonObject): unknown => (error['details'] as JsonObject | undefined)?.['errors']
const dataOf = (body: JsonObject): JsonObject[] => body['data'] as JsonObject[]

for (const kind of ['PostgreSQL', 'embedded'] as const)
  describe(`identity: admin API (${kind})`, () => {
    let database: OpenedDatabase
    let gateway: IdentityGateway
    let names = 0
    /** A slug of its own for every test. */
    const fresh = (): string => `name-${++names}`
    const make = (path: string, body: object = {}): Promise<JsonObject> => gateway.call('POST', path, 201, body)

    before(async () => {
      database = await (kind === 'PostgreSQL'
        ? openDatabase({ url: await server.createDatabase(), dataDirectory: '', logger })
        : openDatabase({ dataDirectory: await preparedDataDirectory(), logger }))
      gateway = await identityGateway(database)
    })
    after(async () => {
      await gateway?.[Symbol.asyncDispose]()
      await database?.close()
    })

    /** Each resource in a place of its own, with what it needs at least and what else it has. */
    const resources = [
      { noun: 'organization', place: async () => '/organizations', needs: () => ({ slug: fresh() }), more: {} },
      {
        noun: 'team',
        place: async () =>
          `/organizations/${(await make('/organizations', { slug: fresh() }))['slug'] as string}/teams`,
        needs: () => ({ slug: fresh() }),
        more: {},
      },
      {
        noun: 'project',
        place: async () =>
          `/organizations/${(await make('/organizations', { slug: fresh() }))['slug'] as string}/projects`,
        needs: () => ({ slug: fresh() }),
        more: { team_id: null },
      },
      {
        noun: 'service account',
        place: async () =>
          `/organizations/${(await make('/organizations', { slug: fresh() }))['slug'] as string}/service-accounts`,
        needs: () => ({ slug: fresh() }),
        more: { description: 'Builds and tests' },
      },
      {
        noun: 'user',
        place: async () => '/users',
        needs: () => ({ external_id: `oidc|${fresh()} ü` }),
        more: { email: 'someone@example.com', organization_id: null },
      },
    ] as const
    const pathOf = (place: string, row: JsonObject): string =>
      `${place}/${encodeURIComponent(String(place === '/users' ? row['id'] : row['slug']))}`

    for (const { noun, place, needs, more } of resources)
      describe(noun, () => {
        it('is made with what it needs, and shown alike from then on', async () => {
          const list = await place()
          const given = needs()
          const made = await make(list, given)
          const { id, created_at: createdAt, updated_at: updatedAt, organization_id: _, ...rest } = made
          assert.match(String(id), uuid)
          assert.match(String(createdAt), time)
          assert.equal(updatedAt, createdAt)
          assert.deepEqual(rest, {
            ...Object.fromEntries(
              Object.keys(more)
                .filter((name) => name !== 'organization_id')
                .map((name) => [name, null]),
            ),
            ...given,
            name: null,
            budgets: null,
            rate_limits: null,
            managed_by: 'api',
          })
          assert.deepEqual(await gateway.call('GET', pathOf(list, made), 200), made)
          assert.deepEqual(dataOf(await gateway.call('GET', list, 200))[0], made)
        })

        it('has limits and a name, which a change sets and null clears', async () => {
          const list = await place()
          const all = { ...needs(), ...more, name: ' Some name ', budgets, rate_limits: rateLimits }
          const made = await make(list, all)
          const shown = { ...all, name: 'Some name' }
          assert.deepEqual({ ...made, ...shown }, made)
          const path = pathOf(list, made)
          const changed = await gateway.call('PATCH', path, 200, {
            name: 'Another',
            budgets: [{ period: 'total', limit_usd: 3 }],
          })
          const budgetsNow = [{ period: 'total', limit_usd: 3 }]
          assert.deepEqual({ ...changed, name: 'Another', budgets: budgetsNow, rate_limits: rateLimits }, changed)
          assert.deepEqual(await gateway.call('GET', path, 200), changed)
          const nulls = Object.fromEntries(
            ['name', 'budgets', 'rate_limits', ...Object.keys(more)].map((name) => [name, null]),
          )
          const cleared = await gateway.call('PATCH', path, 200, nulls)
          assert.deepEqual({ ...cleared, ...nulls }, cleared)
          assert.deepEqual(await gateway.call('PATCH', path, 200, {}), cleared)
        })

        it('is gone after it was deleted, and its name is free', async () => {
          const list = await place()
          const given = needs()
          const made = await make(list, given)
          const path = pathOf(list, made)
          assert.deepEqual(await gateway.call('DELETE', path, 200), made)
          for (const method of ['GET', 'DELETE', 'PATCH'])
            assert.equal(
              (await gateway.refused(method, path, 404, method === 'PATCH' ? {} : undefined))['code'],
              'not_found',
            )
          const again = await make(list, given)
          assert.notEqual(again['id'], made['id'])
        })

        it('cannot be there twice', async () => {
          const list = await place()
          const given = needs()
          await make(list, given)
          const taken = noun === 'user' ? 'external_id' : 'slug'
          const { code, message, param } = await gateway.refused('POST', list, 409, given)
          assert.deepEqual(
            { code, message, param },
            { code: 'conflict', message: `Another ${noun} has this ${taken} already`, param: taken },
          )
        })

        it('is refused with all mistakes at once', async () => {
          const list = await place()
          const name = noun === 'user' ? 'external_id' : 'slug'
          const body =
            `{"__proto__": {}, "nmae": 1, "name": "a\\u0000b", "rate_limits": {"per_year": 1},` +
            ` "budgets": [{"period": "yearly", "limit_usd": -1}], "team_id": "x", "organization_id": 7,` +
            ` "${name}": "\\ud800"}`
          const error = await gateway.refused('POST', list, 400, body)
          assert.equal(error['code'], 'invalid_request_error')
          const paths = (errorsOf(error) as { path: string }[]).map(({ path }) => path).toSorted()
          // Those that one resource knows are unknown to the others, so each is a mistake everywhere.
          assert.deepEqual(
            paths,
            [
              '__proto__',
              'budgets[0].limit_usd',
              'budgets[0].period',
              'name',
              'nmae',
              'organization_id',
              'rate_limits.per_year',
              name,
              'team_id',
            ].toSorted(),
          )
          assert.match(JSON.stringify(errorsOf(error)), /"nmae","message":"is not known; known are .*name.*budgets/)
        })

        it('must have what it is called by, which cannot be changed', async () => {
          const list = await place()
          const name = noun === 'user' ? 'external_id' : 'slug'
          assert.deepEqual(errorsOf(await gateway.refused('POST', list, 400, {})), [
            { path: name, message: 'is missing' },
          ])
          assert.deepEqual(errorsOf(await gateway.refused('POST', list, 400, { [name]: null })), [
            { path: name, message: 'must not be null' },
          ])
          for (const wrong of [7, '', ' ', [], {}, 'x'.repeat(256)])
            assert.equal((errorsOf(await gateway.refused('POST', list, 400, { [name]: wrong })) as unknown[]).length, 1)
          const path = pathOf(list, await make(list, needs()))
          assert.deepEqual(errorsOf(await gateway.refused('PATCH', path, 400, { [name]: 'other', what: 1 })), [
            {
              path: 'what',
              message: `is not known; known are ${[...new Set([...(noun === 'user' ? ['email', 'name', 'organization_id'] : ['name', ...Object.keys(more)]), 'budgets', 'rate_limits'])].join(', ')}`,
            },
            { path: name, message: 'cannot be changed' },
          ])
        })

        it('is listed in pages', async () => {
          const list = await place()
          const made: string[] = []
          for (let count = 0; count < 5; count++) made.unshift((await make(list, needs()))['id'] as string)
          const first = await gateway.call('GET', `${list}?limit=2`, 200)
          const cursor = (page: JsonObject): string => (page['pagination'] as JsonObject)['next_cursor'] as string
          const second = await gateway.call('GET', `${list}?limit=2&cursor=${cursor(first)}`, 200)
          const third = await gateway.call('GET', `${list}?limit=1&cursor=${cursor(second)}`, 200)
          const ids = [first, second, third].flatMap((page) => dataOf(page).map((row) => row['id'] as string))
          // Rows of one millisecond come by id.
          assert.deepEqual(ids.toSorted(), made.toSorted())
          await gateway.refused('GET', `${list}?limit=0`, 400)
          await gateway.refused('GET', `${list}?cursor=x`, 400)
        })

        it('is not found by whatever a path can hold', async () => {
          const list = await place()
          for (const strange of [
            '%00',
            '%F0%9F%92%A9',
            "'--",
            '__proto__',
            'constructor',
            'x'.repeat(5000),
            'UPPER',
            nobody,
          ])
            assert.equal((await gateway.refused('GET', `${list}/${strange}`, 404))['code'], 'not_found')
        })

        it('takes strange text in its name or refuses it', async () => {
          const list = await place()
          for (const good of ['日本語', "Robert'); drop table students;--", '💩', '$1', '\\'])
            assert.equal((await make(list, { ...needs(), name: good }))['name'], good)
          for (const bad of ['\0', 'a\nb', '\ud800', 'x'.repeat(256), '', {}, 1, true])
            assert.deepEqual(
              (errorsOf(await gateway.refused('POST', list, 400, { ...needs(), name: bad })) as JsonObject[]).map(
                ({ path }) => path,
              ),
              ['name'],
            )
        })
      })

    it('knows nothing in an organization that does not exist', async () => {
      for (const list of ['teams', 'projects', 'service-accounts'])
        for (const organization of ['nowhere', '%00', 'Upper'])
          for (const [method, path, body] of [
            ['GET', '', undefined],
            ['POST', '', { slug: 'x' }],
            ['GET', '/x', undefined],
            ['PATCH', '/x', {}],
            ['DELETE', '/x', undefined],
          ] as const)
            assert.equal(
              (await gateway.refused(method, `/organizations/${organization}/${list}${path}`, 404, body))['message'],
              'There is no organization with this slug',
            )
    })

    it('keeps organizations apart', async () => {
      const [mine, theirs] = [fresh(), fresh()]
      for (const slug of [mine, theirs]) await make('/organizations', { slug })
      await make(`/organizations/${mine}/projects`, { slug: 'search' })
      await gateway.refused('GET', `/organizations/${theirs}/projects/search`, 404)
      await gateway.refused('DELETE', `/organizations/${theirs}/projects/search`, 404)
      await make(`/organizations/${theirs}/projects`, { slug: 'search' })
      assert.equal(dataOf(await gateway.call('GET', `/organizations/${mine}/projects`, 200)).length, 1)
    })

    it('needs the scope admin everywhere', async () => {
      const paths = [
        '/organizations',
        '/users',
        ...['projects', 'teams', 'service-accounts'].map((list) => `/organizations/x/${list}`),
      ]
      for (const path of [...paths, ...paths.map((each) => `${each}/x`), '/organizations/x/teams/y/members'])
        await gateway.refused('GET', path, 403, undefined, 'user')
      assert.equal((await gateway.refused('GET', '/users', 401, undefined, 'nobody'))['code'], 'missing_credentials')
    })

    it('puts a project into a team of its organization only', async () => {
      const [mine, theirs] = [fresh(), fresh()]
      const teams: JsonObject[] = []
      for (const slug of [mine, theirs]) {
        await make('/organizations', { slug })
        teams.push(await make(`/organizations/${slug}/teams`, { slug: 'research' }))
      }
      const projects = `/organizations/${mine}/projects`
      const project = await make(projects, { slug: 'search', team_id: teams[0]!['id'] })
      assert.equal(project['team_id'], teams[0]!['id'])
      const mistake = [{ path: 'team_id', message: 'is not the id of a team of this organization' }]
      for (const id of [teams[1]!['id'], nobody]) {
        assert.deepEqual(errorsOf(await gateway.refused('POST', projects, 400, { slug: 'x', team_id: id })), mistake)
        assert.deepEqual(errorsOf(await gateway.refused('PATCH', `${projects}/search`, 400, { team_id: id })), mistake)
      }
      assert.equal((await gateway.call('PATCH', `${projects}/search`, 200, { team_id: null }))['team_id'], null)
    })

    it('puts a user into an organization that exists', async () => {
      const organization = await make('/organizations', { slug: fresh() })
      const user = await make('/users', { external_id: fresh(), organization_id: organization['id'] })
      assert.equal(user['organization_id'], organization['id'])
      const mistake = [{ path: 'organization_id', message: 'is not the id of an organization' }]
      assert.deepEqual(
        errorsOf(await gateway.refused('PATCH', `/users/${user['id'] as string}`, 400, { organization_id: nobody })),
        mistake,
      )
      assert.deepEqual(
        errorsOf(await gateway.refused('POST', '/users', 400, { external_id: fresh(), organization_id: nobody })),
        mistake,
      )
    })

    it('keeps what something still belongs to', async () => {
      const slug = fresh()
      const path = `/organizations/${slug}`
      const organization = await make('/organizations', { slug })
      const team = await make(`${path}/teams`, { slug: 'research' })
      await make(`${path}/projects`, { slug: 'search', team_id: team['id'] })
      await make(`${path}/projects`, { slug: 'other' })
      await make(`${path}/service-accounts`, { slug: 'ci' })
      const user = await make('/users', { external_id: fresh(), organization_id: organization['id'] })
      const refusal = await gateway.refused('DELETE', path, 409)
      assert.equal(refusal['code'], 'conflict')
      assert.equal(
        refusal['message'],
        'This organization still has 1 team, 2 projects, 1 user, 1 service account; delete or move them first',
      )
      assert.deepEqual(refusal['details'], {
        in_the_way: { teams: 1, projects: 2, users: 1, service_accounts: 1 },
      })
      const { details } = await gateway.refused('DELETE', `${path}/teams/research`, 409)
      assert.deepEqual(details, { in_the_way: { projects: 1 } })
      await gateway.call('PATCH', `${path}/projects/search`, 200, { team_id: null })
      await gateway.call('PATCH', `/users/${user['id'] as string}`, 200, { organization_id: null })
      for (const child of ['/teams/research', '/projects/search', '/projects/other', '/service-accounts/ci', ''])
        await gateway.call('DELETE', `${path}${child}`, 200)
    })

    describe('members', () => {
      let team: string
      let members: string
      before(async () => {
        const slug = fresh()
        await make('/organizations', { slug })
        team = `/organizations/${slug}/teams/research`
        members = `${team}/members`
        await make(`/organizations/${slug}/teams`, { slug: 'research' })
      })
      const user = async (): Promise<string> =>
        (await make('/users', { external_id: fresh(), name: 'Alice' }))['id'] as string

      it('join, are shown and listed, get another role, and leave', async () => {
        const id = await user()
        const made = await make(members, { user_id: id })
        const { created_at: createdAt, external_id: externalId, ...rest } = made
        assert.match(String(createdAt), time)
        assert.match(String(externalId), /^name-/)
        assert.deepEqual(rest, { user_id: id, email: null, name: 'Alice', role: 'member' })
        assert.deepEqual(await gateway.call('GET', `${members}/${id}`, 200), made)
        assert.deepEqual(dataOf(await gateway.call('GET', members, 200)), [made])
        const admin = { ...made, role: 'admin' }
        assert.deepEqual(await gateway.call('PATCH', `${members}/${id}`, 200, { role: 'admin' }), admin)
        assert.deepEqual(await gateway.call('PATCH', `${members}/${id}`, 200, {}), admin)
        assert.deepEqual(await gateway.call('DELETE', `${members}/${id}`, 200), admin)
        for (const method of ['GET', 'DELETE', 'PATCH'])
          await gateway.refused(method, `${members}/${id}`, 404, method === 'PATCH' ? {} : undefined)
        assert.deepEqual(dataOf(await gateway.call('GET', members, 200)), [])
        assert.equal((await make(members, { user_id: id, role: 'admin' }))['role'], 'admin')
      })

      it('are listed in pages', async () => {
        const slug = fresh()
        const list = `${team.replace(/[^/]+$/, slug)}/members`
        await make(team.replace(/\/[^/]+$/, ''), { slug })
        const joined: string[] = []
        for (let count = 0; count < 3; count++)
          joined.push((await make(list, { user_id: await user() }))['user_id'] as string)
        const first = await gateway.call('GET', `${list}?limit=2`, 200)
        const cursor = (first['pagination'] as JsonObject)['next_cursor'] as string
        const second = await gateway.call('GET', `${list}?limit=2&cursor=${cursor}`, 200)
        const back = (second['pagination'] as JsonObject)['prev_cursor'] as string
        assert.deepEqual(dataOf(await gateway.call('GET', `${list}?limit=2&cursor=${back}`, 200)), dataOf(first))
        assert.deepEqual(
          [...dataOf(first), ...dataOf(second)].map((row) => row['user_id'] as string).toSorted(),
          joined.toSorted(),
        )
      })

      it('are refused twice, without a user, or with mistakes', async () => {
        const id = await user()
        await make(members, { user_id: id })
        assert.equal(
          (await gateway.refused('POST', members, 409, { user_id: id }))['message'],
          'The user is a member already',
        )
        assert.deepEqual(errorsOf(await gateway.refused('POST', members, 400, { user_id: nobody })), [
          { path: 'user_id', message: 'is not the id of a user' },
        ])
        assert.deepEqual(errorsOf(await gateway.refused('POST', members, 400, { role: 'king', who: 1 })), [
          { path: 'who', message: 'is not known; known are user_id, role' },
          { path: 'user_id', message: 'is missing' },
          { path: 'role', message: 'must be one of member, admin' },
        ])
        assert.deepEqual(
          errorsOf(await gateway.refused('PATCH', `${members}/${id}`, 400, { role: null, user_id: id })),
          [
            { path: 'user_id', message: 'cannot be changed' },
            { path: 'role', message: 'must not be null' },
          ],
        )
      })

      it('are not found in a team or by an id that does not exist', async () => {
        const id = await user()
        for (const [path, message] of [
          [`${team}-2/members`, 'There is no team with this slug'],
          [`/organizations/nowhere/teams/research/members`, 'There is no organization with this slug'],
        ] as const) {
          assert.equal((await gateway.refused('GET', path, 404))['message'], message)
          assert.equal((await gateway.refused('POST', path, 404, { user_id: id }))['message'], message)
          for (const method of ['GET', 'DELETE'])
            assert.equal((await gateway.refused(method, `${path}/${id}`, 404))['message'], message)
          assert.equal((await gateway.refused('PATCH', `${path}/${id}`, 404, { role: 'admin' }))['message'], message)
        }
        for (const strange of ['%00', 'x', '__proto__', nobody])
          assert.equal(
            (await gateway.refused('GET', `${members}/${strange}`, 404))['message'],
            'This user is no member of this team',
          )
      })

      it('leave with the team or the user', async () => {
        const id = await user()
        await make(members, { user_id: id })
        await gateway.call('DELETE', `/users/${id}`, 200)
        await gateway.refused('GET', `${members}/${id}`, 404)
        const other = await user()
        await make(members, { user_id: other })
        await gateway.call('DELETE', team, 200)
        assert.equal(gateway.identity.chain('user', other)?.length, 1)
      })

      it('are of 100 teams at most', async () => {
        const slug = fresh()
        const organization = await make('/organizations', { slug })
        const id = await user()
        await database.query(
          `with made as (
             insert into identity_teams (organization_id, slug) select $1, 't' || n from generate_series(1, 101) n returning id, slug)
           select 1 from made`,
          [organization['id']],
        )
        await database.query(
          `insert into identity_team_members (team_id, user_id)
           select id, $2 from identity_teams where organization_id = $1 and slug <> 't1'`,
          [organization['id'], id],
        )
        assert.match(
          String(
            (await gateway.refused('POST', `/organizations/${slug}/teams/t1/members`, 409, { user_id: id }))['message'],
          ),
          /100 teams already/,
        )
      })
    })

    it('answers once a change is seen here', async () => {
      const slug = fresh()
      const organization = await make('/organizations', { slug, name: 'Acme' })
      const id = organization['id'] as string
      assert.equal(gateway.identity.find('organization', slug), id)
      assert.deepEqual(gateway.identity.chain('organization', id), [{ kind: 'organization', id, name: 'Acme' }])
      const before = gateway.identity.version
      await gateway.call('PATCH', `/organizations/${slug}`, 200, { rate_limits: rateLimits })
      assert.ok(gateway.identity.version > before)
      assert.deepEqual(gateway.identity.chain('organization', id)?.[0]?.rateLimits, {
        requestsPerMinute: 60,
        tokensPerDay: 1000,
      })
      await gateway.call('DELETE', `/organizations/${slug}`, 200)
      assert.equal(gateway.identity.chain('organization', id), undefined)
      assert.equal(gateway.identity.find('organization', slug), undefined)
    })
  })

describe('identity: two at the same time', () => {
  let database: OpenedDatabase
  let gateway: IdentityGateway
  before(async () => {
    database = await openDatabase({ url: await server.createDatabase(), dataDirectory: '', logger })
    gateway = await identityGateway(database)
  })
  after(async () => {
    await gateway?.[Symbol.asyncDispose]()
    await database?.close()
  })

  it('one name goes to one', async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, () => gateway.any('POST', '/organizations', { slug: 'same' })),
    )
    assert.deepEqual(
      results.toSorted((a, b) => a - b),
      [201, 409, 409, 409, 409, 409, 409, 409],
    )
  })

  it('an organization is deleted, or gets a child, never both and never a failure', async () => {
    for (let round = 0; round < 20; round++) {
      const slug = `round-${round}`
      await gateway.call('POST', '/organizations', 201, { slug })
      const [deleted, ...made] = await Promise.all([
        gateway.any('DELETE', `/organizations/${slug}`),
        gateway.any('POST', `/organizations/${slug}/teams`, { slug: 'a' }),
        gateway.any('POST', `/organizations/${slug}/projects`, { slug: 'b' }),
      ])
      if (deleted === 200) assert.deepEqual(made, [404, 404])
      else {
        assert.equal(deleted, 409)
        assert.ok(made.every((status) => status === 201))
      }
    }
  })
})

describe('identity: a database that is away', () => {
  it('is said so by the admin API, while what is known stays', async () => {
    const away = await startPostgres()
    const database = await openDatabase({ url: await away.createDatabase(), dataDirectory: '', logger })
    const gateway = await identityGateway(database)
    try {
      const { id } = await gateway.call('POST', '/organizations', 201, { slug: 'acme' })
      await away.halt()
      for (const [method, path, body] of [
        ['GET', '/organizations', undefined],
        ['GET', '/organizations/acme', undefined],
        ['POST', '/organizations', { slug: 'other' }],
        ['PATCH', '/organizations/acme', { name: 'x' }],
        ['DELETE', '/organizations/acme', undefined],
        ['POST', '/organizations/acme/teams/research/members', { user_id: nobody }],
      ] as const) {
        const { code, message, type } = await gateway.refused(method, path, 503, body)
        assert.deepEqual(
          { code, message, type },
          {
            code: 'database_unavailable',
            message: 'The database cannot be reached at the moment',
            type: 'server_error',
          },
        )
      }
      assert.equal(gateway.identity.chain('organization', id as string)?.length, 1)
      await away.start()
      await gateway.call('GET', '/organizations/acme', 200)
    } finally {
      await gateway[Symbol.asyncDispose]()
      await database.close()
      await away.stop()
    }
  })
})
