/** Migrations, alike on both kinds of database. */
import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { StartupError } from '../../core/services/problems.ts'
import { migrate } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'

const create = 'create table things (id int);\ninsert into things values (1);'
const extend = 'alter table things add column name text;'

/** @param open opens an empty database that no other test uses */
export function migrationsSuite(name: string, open: () => Promise<OpenedDatabase>): void {
  describe(`migrations of the ${name} database`, () => {
    let database: OpenedDatabase
    const folders: string[] = []

    before(async () => {
      database = await open()
    })
    after(async () => {
      await database.close()
      for (const folder of folders) await rm(folder, { recursive: true })
    })

    async function directory(files: Readonly<Record<string, string>>): Promise<URL> {
      const folder = await mkdtemp(join(tmpdir(), 'hadrian-migrations-'))
      folders.push(folder)
      for (const [file, sql] of Object.entries(files)) await writeFile(join(folder, file), sql)
      return pathToFileURL(folder)
    }

    it('runs files in order, each once, for each plugin', async () => {
      const files = await directory({ '002-extend.sql': extend, '001-create.sql': create, 'README.md': 'not SQL' })
      assert.deepEqual(await migrate(database, 'first', files), ['001-create.sql', '002-extend.sql'])
      assert.deepEqual(await migrate(database, 'first', files), [])
      assert.deepEqual(await database.query('select id, name from things'), [{ id: 1, name: null }])
      const other = await directory({ '001-create.sql': 'create table other_things (id int)' })
      assert.deepEqual(await migrate(database, 'second', other), ['001-create.sql'])
    })

    it('runs each file once when several instances start together', async () => {
      const files = await directory({ '001-create.sql': 'create table together (id int)', '002-add.sql': 'select 1' })
      const names = await Promise.all([1, 2, 3].map(() => migrate(database, 'together', files)))
      assert.deepEqual(names.flat().sort(), ['001-create.sql', '002-add.sql'])
    })

    it('refuses a file that changed or was renamed after it ran, but not other line ends', async () => {
      const files = await directory({ '001-create.sql': 'create table steady\n(id int)' })
      await migrate(database, 'steady', files)
      const file = new URL(`${files.href}/001-create.sql`)
      await writeFile(file, 'create table steady\r\n(id int)')
      assert.deepEqual(await migrate(database, 'steady', files), [])
      await rename(file, new URL(`${files.href}/001-renamed.sql`))
      await refused(
        migrate(database, 'steady', files),
        'steady/migrations/001-renamed.sql',
        /number of 001-create\.sql/,
      )
      await rm(new URL(`${files.href}/001-renamed.sql`))
      await writeFile(file, 'create table steady (id bigint)')
      await refused(migrate(database, 'steady', files), 'steady/migrations/001-create.sql', /was changed after it ran/)
    })

    it('lets an older version run on a newer database', async () => {
      const newer = await directory({ '001-a.sql': 'select 1', '002-b.sql': 'select 2' })
      await migrate(database, 'downgraded', newer)
      assert.deepEqual(await migrate(database, 'downgraded', await directory({ '001-a.sql': 'select 1' })), [])
    })

    it('keeps nothing of a file that fails, and everything before it', async () => {
      const broken = 'create table half (id int);\ninsert into half values (1);\ninsert into half values (oops);'
      const files = await directory({ '001-whole.sql': 'create table whole (id int)', '002-half.sql': broken })
      await refused(migrate(database, 'failing', files), 'failing/migrations/002-half.sql', /"oops".*\(line 3\)/)
      const [tables] = await database.query(`select to_regclass('whole') as whole, to_regclass('half') as half`)
      assert.deepEqual(tables, { whole: 'whole', half: null })
      await writeFile(new URL(`${files.href}/002-half.sql`), 'create table half (id int)')
      assert.deepEqual(await migrate(database, 'failing', files), ['002-half.sql'])
    })

    it('refuses gaps, duplicates, odd names, and files that end their transaction, before it runs anything', async () => {
      const sets: [Record<string, string>, string, RegExp][] = [
        [{ '001-a.sql': '', '003-c.sql': '' }, '003-c.sql', /002 is missing/],
        [{ '001-a.sql': '', '001-b.sql': '' }, '001-b.sql', /same number as 001-a\.sql/],
        [{ '002-a.sql': '' }, '002-a.sql', /001 is missing/],
        [{ '1-a.sql': '' }, '1-a.sql', /not named like/],
        [{ '001-a.sql': 'create table never (id int);\nCOMMIT;' }, '001-a.sql', /ends a transaction/],
      ]
      for (const [files, file, message] of sets) {
        await refused(migrate(database, 'odd', await directory(files)), `odd/migrations/${file}`, message)
      }
      assert.deepEqual(await database.query(`select to_regclass('never') as never`), [{ never: null }])
      await refused(migrate(database, 'odd', new URL('file:///nonexistent/')), 'odd/migrations/', /cannot read/)
    })
  })
}

async function refused(migration: Promise<unknown>, path: string, message: RegExp): Promise<void> {
  await assert.rejects(migration, (error) => {
    assert(error instanceof StartupError)
    assert.equal(error.problems[0]?.path, path)
    assert.match(error.problems[0]?.message ?? '', message)
    assert(error.problems[0]?.hint)
    return true
  })
}
