/** What both kinds of database must do alike. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Clock } from '../../core/contract/plugin.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { systemClock } from '../../core/services/clock.ts'

/** A clock whose timers run when the test says so. */
export class ManualClock implements Clock {
  readonly #timers = new Set<() => void>()
  readonly now = (): number => systemClock.now()
  readonly monotonicMs = (): number => systemClock.monotonicMs()

  after(_delayMs: number, callback: () => void): () => void {
    this.#timers.add(callback)
    return () => this.#timers.delete(callback)
  }

  /** Runs every timer that is set now. */
  run(): void {
    const timers = [...this.#timers]
    this.#timers.clear()
    for (const timer of timers) timer()
  }
}

/** @param open opens an empty database that no other test uses */
export function databaseSuite(name: string, open: (clock?: Clock) => Promise<OpenedDatabase>): void {
  describe(`${name} database`, { timeout: 60_000 }, () => {
    let database: OpenedDatabase

    before(async () => {
      database = await open()
    })
    after(() => database.close())

    it('gives the same JavaScript types for the same columns', async () => {
      const [row] = await database.query(`
        select 1::int as int, 9007199254740993::bigint as bigint, 1.10::numeric as numeric, 1.5::float8 as float,
               true as boolean, 'x'::text as text, null::text as nothing, '{"a":[1,null]}'::jsonb as jsonb,
               '"s"'::json as json, timestamptz '2024-05-06 07:08:09.123+02' as at, '\\x00ff'::bytea as bytea,
               array['a','b,c',null]::text[] as texts, array[1,2]::int[] as ints,
               '5f3c0b1e-0000-4000-8000-000000000000'::uuid as uuid`)
      assert.deepEqual(row, {
        int: 1,
        bigint: '9007199254740993',
        numeric: '1.10',
        float: 1.5,
        boolean: true,
        text: 'x',
        nothing: null,
        jsonb: { a: [1, null] },
        json: 's',
        at: new Date('2024-05-06T05:08:09.123Z'),
        bytea: Buffer.from([0, 255]),
        texts: ['a', 'b,c', null],
        ints: [1, 2],
        uuid: '5f3c0b1e-0000-4000-8000-000000000000',
      })
    })

    it('takes parameters of every kind and gives them back', async () => {
      const at = new Date('2031-02-03T04:05:06.789Z')
      const [row] = await database.query(
        `select $1::int as int, $2::bigint as bigint, $3::jsonb as jsonb, $4::timestamptz as at, $5::bytea as bytea,
                $6::text[] as texts, $7::text as text, $8::boolean as boolean, $9::text as nothing`,
        [7, 2n ** 60n, { k: 'ü\u{1f600}"\\' }, at, new Uint8Array([1, 2]), ['"', '{}', ''], `it's`, false, undefined],
      )
      assert.deepEqual(row, {
        int: 7,
        bigint: String(2n ** 60n),
        jsonb: { k: 'ü\u{1f600}"\\' },
        at,
        bytea: Buffer.from([1, 2]),
        texts: ['"', '{}', ''],
        text: `it's`,
        boolean: false,
        nothing: null,
      })
    })

    it('carries large values both ways', async () => {
      const text = 'ä0123456789'.repeat(300_000)
      const [row] = await database.query<{ text: string; length: number }>(
        'select $1::text as text, length($1::text) as length',
        [text],
      )
      assert.equal(row?.length, text.length)
      assert.equal(row?.text === text, true)
    })

    it('keeps its session when a statement fails', async () => {
      const [before] = await database.query('select pg_backend_pid() as pid, set_config($1, $2, false)', [
        'a.b',
        'kept',
      ])
      await assert.rejects(database.query('select nothing_like_this'), { code: '42703' })
      const [after] = await database.query('select pg_backend_pid() as pid, current_setting($1) as set_config', ['a.b'])
      assert.deepEqual(after, before)
    })

    it('rejects with the SQLSTATE code and stays usable', async () => {
      await assert.rejects(database.query('select nothing_like_this'), { code: '42703' })
      await assert.rejects(database.query('select $1::int', ['x']), { code: '22P02' })
      const circular: Record<string, unknown> = {}
      circular['self'] = circular
      await assert.rejects(database.query('select $1::jsonb', [circular]), /circular/)
      await database.tx(async (transaction) => {
        await assert.rejects(transaction.query('select $1::jsonb', [circular]), /circular/)
        assert.deepEqual(await transaction.query('select 1 as one'), [{ one: 1 }])
      })
      assert.deepEqual(await database.query('select 1 as one'), [{ one: 1 }])
    })

    it('commits when the work of a transaction resolves, rolls back when it throws', async () => {
      await database.query('create table kept (id int primary key)')
      const result = await database.tx(async (transaction) => {
        await transaction.query('insert into kept values (1)')
        return 'done'
      })
      assert.equal(result, 'done')
      const abort = new DOMException('gone', 'AbortError')
      await assert.rejects(
        database.tx(async (transaction) => {
          await transaction.query('insert into kept values (2)')
          throw abort
        }),
        (error) => error === abort,
      )
      await assert.rejects(
        database.tx(async (transaction) => {
          await transaction.query('insert into kept values (3)')
          await transaction.query('insert into kept values (1)')
        }),
        { code: '23505' },
      )
      assert.deepEqual(await database.query('select id from kept'), [{ id: 1 }])
    })

    it('does not claim to have committed a transaction whose error was ignored', async () => {
      await database.query('create table claimed (id int primary key)')
      const work = database.tx(async (transaction) => {
        await transaction.query('insert into claimed values (1)')
        await transaction.query('select 1 / 0').catch(() => undefined)
      })
      await assert.rejects(work, /rolled back because one of its statements failed/)
      assert.deepEqual(await database.query('select * from claimed'), [])
    })

    it('passes on what the work of a transaction throws, even if it looks like a lost connection', async () => {
      const error = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
      await assert.rejects(
        database.tx(() => Promise.reject(error)),
        (thrown) => thrown === error,
      )
    })

    it('runs statements of one transaction that are started at once one after the other', async () => {
      const rows = await database.tx((transaction) =>
        Promise.all([1, 2, 3].map((number) => transaction.query('select $1::int as number', [number]))),
      )
      assert.deepEqual(rows.flat(), [{ number: 1 }, { number: 2 }, { number: 3 }])
    })

    it('refuses the database inside a transaction instead of waiting for itself', async () => {
      for (const misuse of [
        () => database.tx(() => Promise.resolve()),
        () => database.query('select 1'),
        () => database.insertMany('kept', [{ id: 1 }]),
        () => database.notify('channel', ''),
      ]) {
        await assert.rejects(
          database.tx(async () => {
            await misuse()
          }),
          /inside db\.tx/,
        )
      }
    })

    it('refuses the statements of a transaction that is over', async () => {
      const leaked = await database.tx((transaction) => Promise.resolve({ transaction }))
      await assert.rejects(leaked.transaction.query('select 1'), /this transaction is over/)
    })

    it('gives up a transaction that never ends, and works on', async () => {
      await database.query('create table endless (id int)')
      const endless = database.tx(
        async (transaction) => {
          await transaction.query('insert into endless values (1)')
          await new Promise(() => undefined)
        },
        { timeoutMs: 50 },
      )
      await assert.rejects(endless, /took longer than 50 ms/)
      assert.deepEqual(await database.query('select * from endless'), [])
    })

    it('keeps 50 concurrent read-modify-write transactions apart', async () => {
      await database.query('create table counters (id int primary key, value int)')
      await database.query('insert into counters values (1, 0)')
      await Promise.all(
        Array.from({ length: 50 }, () =>
          database.tx(async (transaction) => {
            const [row] = await transaction.query<{ value: number }>(
              'select value from counters where id = 1 for update',
            )
            await transaction.query('update counters set value = $1 where id = 1', [(row?.value ?? 0) + 1])
          }),
        ),
      )
      assert.deepEqual(await database.query('select value from counters'), [{ value: 50 }])
    })

    it('waits for running work when it is closed, refuses new work, and may be closed again', async () => {
      const closing = await open()
      await closing.query('create table last_words (id int)')
      const running = closing.tx(async (transaction) => {
        await transaction.query('insert into last_words values (1)')
        return transaction.query('select * from last_words')
      })
      // More than a pool has connections, so that some wait for one.
      const waiting = Array.from({ length: 20 }, (_, number) => closing.query('select $1::int as number', [number]))
      const closed = [closing.close(), closing.close()]
      await assert.rejects(closing.query('select 1'), { code: 'database_unavailable', message: /closed/ })
      assert.deepEqual(await running, [{ id: 1 }])
      assert.equal((await Promise.all(waiting)).length, 20)
      await Promise.all(closed)
      assert.equal(await closing.healthy(), false)
    })

    it('says within its time limit whether it is healthy', async () => {
      assert.equal(await database.healthy(), true)
      const clock = new ManualClock()
      const busy = await open(clock)
      const held = Promise.withResolvers<void>()
      const holding = Array.from({ length: 10 }, () => busy.tx(() => held.promise))
      const answers = Promise.all([busy.healthy(), busy.healthy()])
      clock.run()
      assert.deepEqual(await answers, [false, false])
      held.resolve()
      await Promise.allSettled(holding)
      await busy.close()
    })
  })
}
