/** Inserting many rows, alike on both kinds of database. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { OpenedDatabase } from '../../core/services/database/index.ts'

/** @param open opens an empty database that no other test uses */
export function insertManySuite(name: string, open: () => Promise<OpenedDatabase>): void {
  describe(`inserting many rows into the ${name} database`, { timeout: 60_000 }, () => {
    let database: OpenedDatabase

    before(async () => {
      database = await open()
    })
    after(() => database.close())

    it('inserts many rows of every type in one statement', async () => {
      await database.query(`
        create table "Wide ""Table" (
          id bigint primary key, "Odd ""name" text, data jsonb, at timestamptz, tags text[], bytes bytea, cost numeric(8, 2),
          flag boolean, short varchar(3), padded char(2), numbers int[])`)
      const at = new Date('2024-01-02T03:04:05.678Z')
      const full = {
        id: 1,
        'Odd "name': `quote ' " \\ {} NULL`,
        data: { nested: [1, 'ü', null], text: '"\\' },
        at,
        tags: ['a', 'b"c', '\\', '', 'NULL', null],
        bytes: Buffer.from([0, 1, 255]),
        cost: '12.34',
        flag: true,
        short: 'abc',
        padded: 'ab',
        numbers: [3, -4],
      }
      const empty = { ...Object.fromEntries(Object.keys(full).map((key) => [key, null])), id: 2 }
      const odd = { ...empty, id: 3, data: 'text', tags: [], flag: undefined }
      const list = { ...empty, id: 4, data: [{ a: 1 }, [2]], numbers: [null] }
      assert.equal(await database.insertMany('Wide "Table', [full, empty, odd, list]), 4)
      const rows = await database.query('select * from "Wide ""Table" order by id')
      assert.deepEqual(rows, [
        { ...full, id: '1' },
        { ...empty, id: '2' },
        { ...odd, id: '3', flag: null },
        { ...list, id: '4' },
      ])
    })

    it('refuses a value that is too long instead of cutting it', async () => {
      await database.query('create table narrow (short varchar(3), padded char(2))')
      await assert.rejects(database.insertMany('narrow', [{ short: 'abcd' }]), { code: '22001' })
      await assert.rejects(database.insertMany('narrow', [{ padded: 'abc' }]), { code: '22001' })
    })

    it('counts what was inserted, not what the conflict clause left out', async () => {
      await database.query('create table once (id int primary key, value text)')
      const conflict = 'on conflict (id) do nothing'
      const rows = [1, 2, 3].map((id) => ({ id, value: `value ${id}` }))
      assert.equal(await database.insertMany('once', rows, { conflict }), 3)
      assert.equal(await database.insertMany('public.once', [...rows, { id: 4, value: 'new' }], { conflict }), 1)
      const update = 'on conflict (id) do update set value = excluded.value'
      assert.equal(await database.insertMany('once', [{ id: 1, value: 'changed' }], { conflict: update }), 1)
      assert.deepEqual(await database.query('select value from once where id in (1, 4) order by id'), [
        { value: 'changed' },
        { value: 'new' },
      ])
      assert.equal(await database.insertMany('once', []), 0)
    })

    it('takes more rows than a statement has parameters, in their order', async () => {
      await database.query('create table numerous (id int primary key, place bigserial, note text)')
      const rows = Array.from({ length: 70_000 }, (_, index) => ({ id: 70_000 - index, note: `note ${index}` }))
      assert.equal(await database.insertMany('numerous', rows), 70_000)
      assert.deepEqual(await database.query('select id from numerous order by place limit 2'), [
        { id: 70_000 },
        { id: 69_999 },
      ])
    })

    it('explains wrong tables, columns and uneven rows, and notices a new column', async () => {
      await database.query('create table growing (id int)')
      await database.insertMany('growing', [{ id: 1 }])
      await assert.rejects(database.insertMany('growing', [{ id: 2, extra: 'x' }]), /has no column extra/)
      await assert.rejects(database.insertMany('not_there', [{ id: 2 }]), /the table not_there does not exist/)
      await assert.rejects(database.insertMany('growing', [{ id: 2 }, { id: 3, extra: 1 }]), /same keys: row 1/)
      await database.query('alter table growing add column extra int')
      assert.equal(await database.insertMany('growing', [{ id: 2, extra: 5 }]), 1)
      await database.query('alter table growing alter column extra type text')
      await assert.rejects(database.insertMany('growing', [{ id: 3, extra: 'x' }]))
      assert.equal(await database.insertMany('growing', [{ id: 3, extra: 'x' }]), 1)
    })
  })
}
