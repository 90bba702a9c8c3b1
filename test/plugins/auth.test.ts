import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import type { GatewayError, InboundCall, Principal } from '../../core/contract/plugin.ts'
import { pluginSuite } from '../../core/testing/plugin-suite.ts'
import auth from '../../plugins/auth/index.ts'
import type { BootstrapKey } from '../../plugins/auth/index.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { KnownOwners, ownersPlugin } from './known-owners.ts'
import { inboundCall, pluginInstance, withinOneSecond } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const keys = '/admin/v1/api-keys'
const opened: OpenedDatabase[] = []
const instances: PluginInstance[] = []
let server: PostgresServer
/** For tests that need one instance only. */
let alone: PluginInstance
let embedded: OpenedDatabase

before(async () => {
  server = await startPostgres()
  embedded = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
  opened.push(embedded)
  alone = await start(embedded)
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

async function start(database: OpenedDatabase): Promise<PluginInstance> {
  const instance = await pluginInstance(auth, database, {}, { identity: new KnownOwners() })
  instances.push(instance)
  await instance.hooks.start?.()
  return instance
}

/** Two instances of the gateway on one database. */
async function pair(): Promise<[PluginInstance, PluginInstance]> {
  const url = await server.createDatabase()
  return [await start(await connect(url)), await start(await connect(url))]
}

async function create(
  instance: PluginInstance,
  body: object = {},
  principal?: Principal,
): Promise<{ readonly key: string; readonly id: string }> {
  const reply = await instance.route('POST', keys, {
    body: { name: 'a key', ...body },
    ...(principal && { principal }),
  })
  assert.equal(reply.status, 201)
  return reply.body as unknown as { key: string; id: string }
}

const revoke = (instance: PluginInstance, id: string): ReturnType<PluginInstance['route']> =>
  instance.route('DELETE', `${keys}/:id`, { params: { id } })

function principalOf(instance: PluginInstance, headers: Record<string, string>): Principal | undefined {
  const call: InboundCall = inboundCall(headers)
  assert.equal(instance.hooks.authenticate?.(call), undefined, 'it neither waits nor answers')
  return call.principal
}

const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })

function refusal(instance: PluginInstance, headers: Record<string, string>): GatewayError {
  try {
    principalOf(instance, headers)
  } catch (error) {
    return error as GatewayError
  }
  assert.fail('it was let through')
}

function principalOrUndefined(instance: PluginInstance, key: string): Principal | undefined {
  try {
    return principalOf(instance, bearer(key))
  } catch {
    return undefined
  }
}

const isRefused = (instance: PluginInstance, key: string): void =>
  assert.equal(refusal(instance, bearer(key)).code, 'invalid_api_key')

/** Everything that stands in the tables. */
async function stored(database: OpenedDatabase): Promise<string> {
  return JSON.stringify(await database.query('select * from auth_api_keys'))
}

describe('auth: credentials', () => {
  it('knows a key in either header, whatever the case of the scheme', async () => {
    const { key, id } = await create(alone, { name: 'mine', scopes: ['chat'], allowed_models: ['gpt-*'] })
    assert.match(key, /^gw_live_[\w-]{43}$/)
    const expected = { id, name: 'mine', scopes: ['chat'], allowedModels: ['gpt-*'] }
    assert.deepEqual(principalOf(alone, bearer(key)), expected)
    assert.deepEqual(principalOf(alone, { authorization: `bEARER  ${key} ` }), expected)
    assert.deepEqual(principalOf(alone, { 'x-api-key': key }), expected)
    assert.deepEqual(principalOf(alone, { 'x-api-key': key, ...bearer(key) }), expected)
    assert.deepEqual(principalOf(alone, { 'x-api-key': key, ...bearer('sk-placeholder') }), expected)
  })

  it('leaves out what a key does not limit', async () => {
    const { key, id } = await create(alone)
    assert.deepEqual(principalOf(alone, bearer(key)), { id, name: 'a key' })
  })

  it('leaves tokens of another kind to others', () => {
    for (const headers of [
      {},
      bearer('sk-other'),
      { 'x-api-key': 'sk-other' },
      { authorization: 'Basic Z3dfOmdfXw==' },
    ])
      assert.equal(principalOf(alone, headers), undefined)
  })

  it('refuses unknown, malformed, revoked and expired keys in the same words', async () => {
    const revoked = await create(alone)
    await revoke(alone, revoked.id)
    const expiring = await create(alone, { expires_at: new Date(alone.clock.now() + 1000).toISOString() })
    assert.equal(principalOf(alone, bearer(expiring.key))?.id, expiring.id)
    await alone.clock.advance(1000)
    const candidates = [
      `gw_live_${'x'.repeat(43)}`,
      'gw_',
      'gw_live_short',
      revoked.key,
      expiring.key,
      `${revoked.key}=`,
    ]
    for (const candidate of candidates) {
      const { code, status, message, headers, details, param } = refusal(alone, bearer(candidate))
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
      )
    }
  })

  it('refuses two different keys without saying anything of either', async () => {
    const [one, two] = [await create(alone), await create(alone)]
    const error = refusal(alone, { 'x-api-key': one.key, ...bearer(two.key) })
    assert.equal(error.status, 400)
    assert.ok(!JSON.stringify([error, error.message]).includes('gw_live_'))
  })

  it('asks the database nothing while it authenticates', async () => {
    const url = await server.createDatabase()
    const { key } = await create(await start(await connect(url)))
    const instance = await start(await connect(url))
    const { length } = instance.database.statements
    for (let count = 0; count < 1000; count++) {
      assert.ok(principalOf(instance, bearer(key)))
      refusal(instance, bearer(`gw_live_${'y'.repeat(43)}`))
    }
    await instance.clock.advance(1000)
    assert.deepEqual(instance.database.statements.slice(length), [])
  })

  it('writes the last use of keys once a minute, and at the end', async () => {
    const instance = await start(await connect())
    const [one, two] = [await create(instance), await create(instance)]
    const usedAt = new Date(instance.clock.now())
    for (let count = 0; count < 100; count++) principalOf(instance, bearer(one.key))
    await instance.clock.advance(59_000)
    const writes = (): number => instance.database.statements.filter((sql) => sql.includes('used_at = greatest')).length
    assert.equal(writes(), 0)
    await instance.clock.advance(1000)
    assert.equal(writes(), 1)
    const lastUse = async ({ id }: { id: string }): Promise<unknown> =>
      (await instance.route('GET', `${keys}/:id`, { params: { id } })).body['last_used_at']
    await withinOneSecond(async () => assert.deepEqual(await lastUse(one), usedAt))
    principalOf(instance, bearer(two.key))
    const laterMs = instance.clock.now()
    await instance.hooks.stop?.()
    assert.deepEqual(await lastUse(two), new Date(laterMs))
    assert.equal(instance.clock.pending, 0)
  })
})

describe('auth: admin API', () => {
  it('shows a new key once, with its record', async () => {
    const expiresAt = '2031-01-31T00:00:00.000Z'
    const reply = await alone.route('POST', keys, {
      body: { name: ' laptop ', scopes: ['models', 'chat'], allowed_models: ['test/echo'], expires_at: expiresAt },
      principal: { id: 'me', scopes: ['admin'] },
    })
    const { key, id, ...record } = reply.body as Record<string, unknown>
    assert.equal(reply.headers['cache-control'], 'no-store')
    assert.deepEqual(record, {
      name: 'laptop',
      key_prefix: String(key).slice(0, 12),
      scopes: ['models', 'chat'],
      allowed_models: ['test/echo'],
      owner: null,
      ip_allowlist: null,
      budgets: null,
      rate_limits: null,
      created_by: 'me',
      created_at: new Date(alone.clock.now()),
      expires_at: new Date(expiresAt),
      rotated_at: null,
      previous_keys: [],
      revoked_at: null,
      last_used_at: null,
    })
    const shown = await alone.route('GET', `${keys}/:id`, { params: { id: String(id) } })
    assert.deepEqual(shown.body, { id, ...record })
  })

  it('lists every mistake of a body with its path and the nearest scope', async () => {
    const body = {
      name: '\u0007',
      scopes: ['chat', 'embedding', 'sudo', 7],
      allowed_models: ['a*b', ''],
      expires_at: '2001-01-01',
      owners: 'me',
    }
    const { status, code, param, details } = await alone.route('POST', keys, { body }).then(
      () => assert.fail('it was made'),
      (error: unknown) => error as GatewayError,
    )
    assert.deepEqual([status, code, param], [400, 'invalid_request_error', 'owners'])
    const known = 'must be one of chat, completions, embeddings, models, admin'
    assert.deepEqual(details?.['errors'], [
      {
        path: 'owners',
        message:
          'is not a known key; known are name, scopes, allowed_models, expires_at, ip_allowlist, budgets, rate_limits, owner',
      },
      { path: 'name', message: 'must not contain control characters' },
      { path: 'scopes[1]', message: `${known}. Did you mean "embeddings"?` },
      { path: 'scopes[2]', message: known },
      { path: 'scopes[3]', message: 'must be a string' },
      { path: 'allowed_models[0]', message: 'must be a model name, or a prefix that ends in one *' },
      { path: 'allowed_models[1]', message: 'must not be empty' },
      { path: 'expires_at', message: 'must be in the future' },
    ])
  })

  it('refuses values of wrong kinds', async () => {
    const bodies = [
      { name: 7 },
      { name: '' },
      { name: 'x'.repeat(256) },
      { scopes: 'chat' },
      { scopes: [] },
      { allowed_models: {} },
      { expires_at: 1_900_000_000 },
      { expires_at: 'tomorrow' },
      { expires_at: '2030-13-45' },
    ]
    for (const body of bodies)
      await assert.rejects(alone.route('POST', keys, { body }), { code: 'invalid_request_error' }, JSON.stringify(body))
  })

  it('revokes at once, says so again, and knows what it does not know', async () => {
    const { key, id } = await create(alone)
    assert.ok(principalOf(alone, bearer(key)))
    const first = await revoke(alone, id)
    isRefused(alone, key)
    assert.deepEqual(first.body['revoked_at'], new Date(alone.clock.now()))
    await alone.clock.advance(5000)
    assert.deepEqual((await revoke(alone, id)).body, first.body)
    for (const unknown of [crypto.randomUUID(), 'nonsense', key])
      for (const method of ['GET', 'DELETE'])
        await assert.rejects(alone.route(method, `${keys}/:id`, { params: { id: unknown } }), (error: GatewayError) => {
          assert.equal(error.code, 'not_found')
          return !error.message.includes(unknown)
        })
  })

  it('lists keys in pages, forwards and backwards, though all were made in one millisecond', async () => {
    const instance = await start(await connect())
    const made = new Set<string>()
    for (let count = 0; count < 7; count++) made.add((await create(instance)).id)
    interface List {
      readonly data: readonly { readonly id: string }[]
      readonly pagination: { has_more: boolean; next_cursor: string | null; prev_cursor: string | null; limit: number }
    }
    const list = async (cursor: string | null): Promise<List> =>
      (await instance.route('GET', keys, { query: { limit: '3', ...(cursor !== null && { cursor }) } }))
        .body as unknown as List
    const first = await list(null)
    const second = await list(first.pagination.next_cursor)
    const third = await list(second.pagination.next_cursor)
    assert.deepEqual(
      [first, second, third].map(({ data, pagination }) => [data.length, pagination.has_more, pagination.limit]),
      [
        [3, true, 3],
        [3, true, 3],
        [1, false, 3],
      ],
    )
    assert.deepEqual(new Set([first, second, third].flatMap(({ data }) => data.map(({ id }) => id))), made)
    assert.equal(first.pagination.prev_cursor, null)
    assert.equal(third.pagination.next_cursor, null)
    assert.deepEqual(await list(third.pagination.prev_cursor), second)
    const back = await list(second.pagination.prev_cursor)
    assert.deepEqual(back.data, first.data)
    assert.equal(back.pagination.prev_cursor, null)
    assert.deepEqual(await list(back.pagination.next_cursor), second)
    const wrong: Record<string, string>[] = [
      { limit: '0' },
      { limit: '1001' },
      { limit: 'x' },
      { cursor: 'x' },
      { cursor: '' },
    ]
    for (const query of wrong)
      await assert.rejects(instance.route('GET', keys, { query }), { code: 'invalid_request_error' })
  })

  it('never gives a key more models than its creator has', async () => {
    const creator = { id: 'limited', scopes: ['admin'], allowedModels: ['gpt-*', 'test/echo'] }
    const modelsOf = async (allowed_models?: unknown): Promise<unknown> => {
      const { id } = await create(alone, allowed_models === undefined ? {} : { allowed_models }, creator)
      return (await alone.route('GET', `${keys}/:id`, { params: { id } })).body['allowed_models']
    }
    assert.deepEqual(await modelsOf(), creator.allowedModels)
    assert.deepEqual(await modelsOf(['gpt-4o', 'gpt-4*', 'gpt-*', 'test/echo']), [
      'gpt-4o',
      'gpt-4*',
      'gpt-*',
      'test/echo',
    ])
    for (const excess of [null, ['*'], ['gp*'], ['gpt-4o', 'claude'], ['test/echo*']])
      await assert.rejects(modelsOf(excess), { code: 'model_not_allowed', status: 403 }, JSON.stringify(excess))
  })
})

describe('auth: secrets', () => {
  it('appear in no log line, no row, no list and no error', async () => {
    const instance = await start(await connect())
    const { key, id } = await create(instance)
    const first = await create(instance)
    principalOf(instance, bearer(key))
    const error = refusal(instance, bearer(`${key}x`))
    instance.database.before = () => {
      throw new Error('the database is away')
    }
    await instance.clock.advance(400_000)
    await assert.rejects(create(instance))
    instance.database.before = () => undefined
    const list = await instance.route('GET', keys)
    const shown = await instance.route('GET', `${keys}/:id`, { params: { id } })
    const seen = [
      ...instance.log,
      JSON.stringify([list.body, shown.body, error, error.message]),
      await stored(opened.at(-1)!),
    ].join('\n')
    assert.ok(instance.log.length > 0)
    for (const secret of [key, first.key]) {
      assert.ok(!seen.includes(secret))
      assert.ok(!seen.includes(secret.slice('gw_live_'.length + 5)))
    }
    assert.ok(!JSON.stringify([list.body, shown.body]).includes('hash'))
  })
})

describe('auth: several instances on one database', () => {
  it('see each other make and revoke keys within a second', async () => {
    const [one, two] = await pair()
    const { key, id } = await create(one)
    await withinOneSecond(() => assert.equal(principalOf(two, bearer(key))?.id, id))
    await revoke(two, id)
    isRefused(two, key)
    await withinOneSecond(() => isRefused(one, key))
  })

  it('see changes made by hand', async () => {
    const url = await server.createDatabase()
    const database = await connect(url)
    const instance = await start(await connect(url))
    const { key, id } = await create(instance)
    await database.query(`update auth_api_keys set scopes = '{models}' where id = $1`, [id])
    await withinOneSecond(() => assert.deepEqual(principalOf(instance, bearer(key))?.scopes, ['models']))
    await database.query('delete from auth_api_keys')
    await withinOneSecond(() => isRefused(instance, key))
  })

  it('read all keys again when the connection that tells of changes was lost', async () => {
    const url = await server.createDatabase()
    const database = await connect(url)
    const { key, id } = await create(await start(await connect(url)))
    // Begins after the change, so that it has nothing to read that would tell it of the next.
    const instance = await start(await connect(url))
    // Stands for a change of the time without a connection.
    await database.query('alter table auth_api_keys disable trigger all')
    await database.query('update auth_api_keys set revoked_at = now() where id = $1', [id])
    assert.ok(principalOf(instance, bearer(key)))
    await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`,
    )
    await withinOneSecond(() => isRefused(instance, key))
  })

  it('make one first key, however many race for it', async () => {
    const both = await pair()
    const bootstraps = both.map(({ hooks }) => hooks.services?.['bootstrap-key'] as BootstrapKey)
    const made = await Promise.all(Array.from({ length: 10 }, (_, index) => bootstraps[index % 2]!.createFirstKey()))
    const [key, ...others] = made.filter((each) => each !== undefined)
    assert.deepEqual(others, [])
    assert.match(key!, /^gw_live_[\w-]{43}$/)
    for (const instance of both)
      await withinOneSecond(() => {
        const principal = principalOf(instance, bearer(key!))
        assert.equal(principal?.name, 'first key')
        assert.deepEqual(principal?.scopes, ['chat', 'completions', 'embeddings', 'models', 'admin'])
      })
    const [row] = (await both[0].route('GET', keys)).body['data'] as [{ id: string }]
    await revoke(both[0], row.id)
    assert.equal(await bootstraps[1]!.createFirstKey(), undefined, 'a revoked key counts')
  })

  it('go on with the keys they know while the database is away, and catch up when it is back', async () => {
    const url = await server.createDatabase()
    const instance = await start(await connect(url))
    const [kept, revoked] = [await create(instance), await create(instance)]
    await server.halt()
    assert.equal(principalOf(instance, bearer(kept.key))?.id, kept.id)
    await assert.rejects(create(instance))
    // The periodic reading fails as well, and what is known stays.
    await instance.clock.advance(300_000)
    assert.equal(principalOf(instance, bearer(kept.key))?.id, kept.id)
    await server.start()
    const other = await connect(url)
    await other.query('update auth_api_keys set revoked_at = now() where id = $1', [revoked.id])
    await withinOneSecond(async () => {
      await instance.clock.advance(30_000)
      isRefused(instance, revoked.key)
    })
    assert.equal(principalOf(instance, bearer(kept.key))?.id, kept.id)
  })
})

describe('auth: many keys', () => {
  const isPage = (sql: string): boolean => sql.includes('where id > $1')
  // Not the statement that notes the last use, which is written at any time.
  const isChange = (sql: string): boolean => sql.includes('any($1::uuid[]) and revoked_at is null')

  it('are read in pages, and a key that is revoked meanwhile stays revoked', async () => {
    const database = await connect()
    const instance = await pluginInstance(auth, database, {}, { identity: new KnownOwners() })
    instances.push(instance)
    await database.query(
      `insert into auth_api_keys (id, name, key_hash, key_prefix)
       select gen_random_uuid(), 'key ' || n, 'hash ' || n, 'gw_live_' from generate_series(1, 4500) as n`,
    )
    const revoked = [await create(instance), await create(instance), await create(instance)]
    await instance.hooks.start?.()
    for (const { key } of revoked) assert.ok(principalOf(instance, bearer(key)))
    const changesRead = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    let pages = 0
    let changes = 0
    instance.database.after = async (sql) => {
      // The first page was read and is not yet taken in.
      if (isPage(sql) && ++pages === 1) await revoke(instance, revoked[0]!.id)
      // The last was taken in, and so was what had changed; this is read after the new list of keys is in use.
      if (isPage(sql) && pages === 3) await revoke(instance, revoked[1]!.id)
      if (isChange(sql) && pages === 3 && ++changes === 1) await revoke(instance, revoked[2]!.id)
    }
    instance.database.before = async (sql) => {
      if (!isChange(sql) || changes === 0) return
      changesRead.resolve()
      await held.promise
    }
    const { length } = instance.database.statements
    await instance.clock.advance(300_000)
    await changesRead.promise
    const states = revoked.map(({ key }) => principalOrUndefined(instance, key))
    held.resolve()
    assert.deepEqual(states, [undefined, undefined, undefined])
    const reads = instance.database.statements.slice(length).filter((sql) => isPage(sql) || isChange(sql))
    const firstPage = reads.findIndex(isPage)
    assert.deepEqual(
      reads.slice(firstPage, firstPage + 3).map(isChange),
      [false, true, false],
      'a change does not wait for the last page',
    )
    const late = await create(instance)
    assert.equal(principalOf(instance, bearer(late.key))?.id, late.id)
  })
})

pluginSuite(auth, { database: async () => embedded, plugins: [ownersPlugin()] })
