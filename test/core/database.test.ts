import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { on, once } from 'node:events'
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { StartupError } from '../../core/services/problems.ts'
import type { Clock } from '../../core/contract/plugin.ts'
import { lockDirectory, openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { EmbeddedSocket } from '../../core/services/database/embedded-socket.ts'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { databaseSuite } from './database-suite.ts'
import { insertManySuite } from './insert-many-suite.ts'
import { migrationsSuite } from './migrations-suite.ts'
import { notificationsSuite } from './notifications-suite.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
let server: PostgresServer

before(async () => {
  server = await startPostgres()
})
after(() => server.stop())

async function openEmbedded(clock?: Clock): Promise<OpenedDatabase> {
  return openDatabase({ dataDirectory: await preparedDataDirectory(), logger, clock })
}

async function openServer(clock?: Clock): Promise<OpenedDatabase> {
  return openDatabase({ url: await server.createDatabase(), dataDirectory: '/nonexistent', logger, clock })
}

for (const [name, open] of [
  ['embedded', openEmbedded],
  ['PostgreSQL', openServer],
] as const) {
  databaseSuite(name, open)
  insertManySuite(name, open)
  notificationsSuite(name, open)
  migrationsSuite(name, open)
}

describe('PostgreSQL connections', () => {
  it('carry notifications from one instance to another', async () => {
    const url = await server.createDatabase()
    const [one, two] = await Promise.all([1, 2].map(() => openDatabase({ url, dataDirectory: '', logger })))
    assert(one !== undefined && two !== undefined)
    const heard = Promise.withResolvers<string>()
    await one.listen('between', heard.resolve)
    await two.notify('between', 'hello')
    assert.equal(await heard.promise, 'hello')
    await Promise.all([one.close(), two.close()])
  })

  it('listen again after the connection was lost, and say that something may have been missed', async () => {
    const database = await openServer()
    const missed = Promise.withResolvers<void>()
    const heard = Promise.withResolvers<string>()
    await database.listen('persistent', heard.resolve, { missed: () => missed.resolve() })
    const cut = await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen%'`,
    )
    assert.equal(cut.length, 1)
    await missed.promise
    await database.notify('persistent', 'still here')
    assert.equal(await heard.promise, 'still here')
    await database.close()
  })

  it('reject while the server is away, during a transaction too, and recover when it is back', async () => {
    const database = await openServer()
    const missed = Promise.withResolvers<void>()
    await database.listen('away', () => undefined, { missed: () => missed.resolve() })
    const cut = database.tx(async (transaction) => {
      await transaction.query('select 1')
      await server.halt()
      await transaction.query('select 2')
    })
    await assert.rejects(cut, { code: 'database_unavailable' })
    await assert.rejects(database.query('select 1'), {
      code: 'database_unavailable',
      message: /^The database "test_\d+" at 127\.0\.0\.1:\d+ cannot be reached: connect ECONNREFUSED/,
    })
    await assert.rejects(
      database.tx(() => Promise.resolve()),
      { code: 'database_unavailable' },
    )
    assert.equal(await database.healthy(), false)
    await server.start()
    assert.deepEqual(await database.query('select 1 as one'), [{ one: 1 }])
    await missed.promise
    assert.equal(await database.healthy(), true)
    await database.close()
  })

  it('explain why the server cannot be opened, without the password', async () => {
    const { port } = new URL(server.url)
    const cases: [string, RegExp, RegExp][] = [
      ['postgresql://u:s3cret@127.0.0.1:1/d', /"d" at 127\.0\.0\.1:1: nothing listens there/, /Start PostgreSQL/],
      [`postgresql://postgres:s3cret@127.0.0.1:${port}/gone`, /it does not exist/, /createdb/],
      [`postgresql://nobody:s3cret@127.0.0.1:${port}/postgres`, /role "nobody" does not exist/, /pg_hba/],
      [`postgresql://postgres:s3cret@127.0.0.1:${port}/postgres?sslmode=verify-full`, /SSL/, /sslmode/],
      ['postgresql://u:s3cret@[bad/d', /not a PostgreSQL URL/, /postgresql:\/\/USER/],
      ['mysql://u:s3cret@localhost/d', /not a PostgreSQL URL/, /postgresql:\/\/USER/],
    ]
    for (const [url, message, hint] of cases) {
      await assert.rejects(openDatabase({ url, dataDirectory: '', logger }), (error) => {
        assert(error instanceof StartupError)
        assert.match(error.problems[0]?.message ?? '', message)
        assert.match(error.problems[0]?.hint ?? '', hint)
        assert(!JSON.stringify([error.problems, error.stack]).includes('s3cret'))
        return true
      })
    }
  })
})

describe('the embedded database', () => {
  it('announces the slow first start, is private to its owner, and creates anew what was cut short', async () => {
    const dataDirectory = join(await preparedDataDirectory(), 'below', 'new')
    await mkdir(join(dataDirectory, 'database'), { recursive: true })
    // As a process leaves it that is killed while it creates the database.
    writeFileSync(join(dataDirectory, 'database.creating'), '')
    writeFileSync(join(dataDirectory, 'database', 'PG_VERSION'), '18\n')
    chmodSync(dataDirectory, 0o700)
    const progress: string[] = []
    const database = await openDatabase({ dataDirectory, logger, onProgress: (message) => progress.push(message) })
    assert.deepEqual(progress, ['Creating the embedded database (first start, a few seconds)'])
    assert(!existsSync(join(dataDirectory, 'database.creating')))
    assert.equal(statSync(join(dataDirectory, 'database')).mode & 0o777, 0o700)
    await database.query('create table kept (id int)')
    await database.close()
    const again = await openDatabase({ dataDirectory, logger, onProgress: (message) => progress.push(message) })
    assert.deepEqual(await again.query('select * from kept'), [])
    assert.equal(progress.length, 1)
    await again.close()
  })

  it('lets the event loop run while 32 callers query it', async () => {
    const database = await openEmbedded()
    let ticks = 0
    const timer = setInterval(() => ticks++, 5)
    const end = performance.now() + 500
    const callers = Array.from({ length: 32 }, async () => {
      while (performance.now() < end) await database.query('select $1::int', [1])
    })
    await Promise.all(callers)
    clearInterval(timer)
    // 100 on an idle machine; none if the database ran in this thread.
    assert(ticks >= 10, `the timer ran ${ticks} times`)
    await database.close()
  })

  it('starts again after its thread was given up, and listens as before', async () => {
    const database = await openEmbedded()
    await database.query('create table survivors (id int)')
    const missed = Promise.withResolvers<void>()
    const heard = Promise.withResolvers<string>()
    await database.listen('again', heard.resolve, { missed: () => missed.resolve() })
    await assert.rejects(
      database.tx((transaction) => transaction.query('select pg_sleep(60)'), { timeoutMs: 20 }),
      /took longer/,
    )
    await database.insertMany('survivors', [{ id: 1 }])
    await missed.promise
    await database.notify('again', 'back')
    assert.equal(await heard.promise, 'back')
    await database.close()
  })

  it('never runs two threads on the same files', async () => {
    const directories = await Promise.all([1, 2].map(async () => join(await preparedDataDirectory(), 'database')))
    const previous = Promise.withResolvers<void>()
    let started = false
    const next = new EmbeddedSocket(directories[0] ?? '', previous.promise)
    const connected = once(next.connect(), 'connect').then(() => (started = true))
    const other = new EmbeddedSocket(directories[1] ?? '')
    await once(other.connect(), 'connect')
    assert.equal(started, false)
    previous.resolve()
    await connected
    for (const socket of [next, other]) socket.resume().end()
    await Promise.all([next.exited, other.exited])

    const unstarted = new EmbeddedSocket('', previous.promise)
    unstarted.connect().destroy()
    await unstarted.exited
  })

  it('refuses files that it cannot read, and says what to do', async () => {
    const dataDirectory = await preparedDataDirectory()
    writeFileSync(join(dataDirectory, 'database', 'PG_VERSION'), '9\n')
    await assert.rejects(openDatabase({ dataDirectory, logger }), (error) => {
      assert(error instanceof StartupError)
      assert.match(error.message, /cannot open the embedded database/)
      assert.match(error.problems[0]?.hint ?? '', /backup/)
      return true
    })
    // The failed start let go of the directory.
    lockDirectory(dataDirectory, 'database').release()
  })
})

describe('the data directory', () => {
  it('is refused while another process has it, free after kill -9, and keeps what was acknowledged', async () => {
    const dataDirectory = await preparedDataDirectory()
    const writer = await startWriter(dataDirectory)
    await assert.rejects(openDatabase({ dataDirectory, logger }), (error) => {
      assert(error instanceof StartupError)
      assert.equal(error.problems[0]?.path, dataDirectory)
      assert.match(error.problems[0]?.message ?? '', /in use by another running gateway/)
      assert.match(error.problems[0]?.hint ?? '', /HADRIAN_DATA_DIR/)
      return true
    })
    await writer.acknowledged(100)
    const last = await writer.kill()
    const database = await openDatabase({ dataDirectory, logger })
    const [row] = await database.query<{ count: number; last: number }>(
      'select count(*)::int as count, max(number) as last from written',
    )
    assert(row !== undefined && row.last >= last, `${last} rows were acknowledged, ${row?.last} are there`)
    assert.equal(row.count, row.last)
    await database.close()
  })

  it('is refused to the same process too, and made for its owner only', async () => {
    const directory = join(await preparedDataDirectory(), 'new', 'place')
    const lock = lockDirectory(directory, 'thing')
    assert.equal(statSync(directory).mode & 0o777, 0o700)
    assert.equal(statSync(join(directory, 'thing.lock')).mode & 0o777, 0o600)
    assert.throws(() => lockDirectory(directory, 'thing'), StartupError)
    lockDirectory(directory, 'other').release()
    lock.release()
    lock.release()
    lockDirectory(directory, 'thing').release()
  })

  it('is explained when it cannot be used', async () => {
    const file = join(await preparedDataDirectory(), 'file')
    writeFileSync(file, '')
    assert.throws(
      () => lockDirectory(file, 'thing'),
      (error) => error instanceof StartupError && /cannot be used as the data directory/.test(error.message),
    )
  })
})

interface Writer {
  /** Resolves when this many rows are acknowledged. */
  acknowledged(count: number): Promise<void>
  /** Kills it at once; resolves to the last acknowledged number. */
  kill(): Promise<number>
}

async function startWriter(dataDirectory: string): Promise<Writer> {
  const script = fileURLToPath(new URL('../database-writer.ts', import.meta.url))
  const child: ChildProcessByStdio<null, Readable, null> = spawn(
    process.execPath,
    ['--conditions=hadrian-source', script, dataDirectory],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const [first] = (await Promise.race([once(lines, 'line'), exited])) as [unknown]
  assert.equal(first, 'open')
  let last = 0
  lines.on('line', (line) => (last = Number(line)))
  return {
    async acknowledged(count) {
      for await (const [line] of on(lines, 'line', { close: ['close'] })) if (Number(line) >= count) return
    },
    async kill() {
      const closed = once(lines, 'close')
      child.kill('SIGKILL')
      await Promise.all([exited, closed])
      return last
    },
  }
}
