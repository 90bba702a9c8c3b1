import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Queryable, Row } from '../../contract/plugin.ts'
import { StartupError } from '../problems.ts'
import type { Problem } from '../problems.ts'
import type { OpenedDatabase } from './pool-database.ts'

/** A numbered file of SQL. */
interface Migration {
  readonly number: number
  readonly name: string
  readonly sql: string
  readonly checksum: string
}

interface Applied extends Row {
  readonly name: string
  readonly checksum: string
}

/** One lock for all plugins: migrations are rare, and two at once may touch the same tables. An arbitrary number. */
const lockNumber = 4_871_139
/** For an index on a large table, in milliseconds. */
const limitMs = 3_600_000

const tableSql = `
create table if not exists hadrian_migrations (
  plugin text not null,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now(),
  primary key (plugin, name)
)`

/**
 * Runs the `NNN-name.sql` files of a plugin that have not run yet, in order, each in a transaction of its own. Several
 * instances may do it at once. Files that the database knows and the directory lacks are fine if they are the newest:
 * an older version of the plugin runs on a newer database.
 * @returns the names of the files that ran
 * @throws StartupError for a file that changed after it ran, a gap or a duplicate in the numbers, and a file that fails,
 *   of which then nothing remains
 */
export async function migrate(database: OpenedDatabase, plugin: string, directory: URL): Promise<string[]> {
  const migrations = await readMigrations(plugin, directory)
  const done: string[] = []
  for (;;) {
    const name = await database.tx((transaction) => applyNext(transaction, plugin, migrations), { timeoutMs: limitMs })
    if (name === undefined) return done
    done.push(name)
  }
}

/** Applies the first file that is missing, if any. */
async function applyNext(
  transaction: Queryable,
  plugin: string,
  migrations: readonly Migration[],
): Promise<string | undefined> {
  await transaction.query('select pg_advisory_xact_lock($1)', [lockNumber])
  await transaction.query(tableSql)
  const applied = await transaction.query<Applied>(
    'select name, checksum from hadrian_migrations where plugin = $1 order by name',
    [plugin],
  )
  const problems = changes(plugin, migrations, applied)
  if (problems.length > 0) throw new StartupError(problems)
  const names = new Set(applied.map(({ name }) => name))
  const next = migrations.find(({ name }) => !names.has(name))
  if (next === undefined) return undefined
  try {
    await transaction.query(next.sql)
  } catch (error) {
    throw new StartupError([failure(plugin, next, error)], { cause: error })
  }
  await transaction.query('insert into hadrian_migrations (plugin, name, checksum) values ($1, $2, $3)', [
    plugin,
    next.name,
    next.checksum,
  ])
  return next.name
}

/** Files that are not what ran under their name or number. */
function changes(plugin: string, migrations: readonly Migration[], applied: readonly Applied[]): Problem[] {
  const problems: Problem[] = []
  for (const { name, checksum } of applied) {
    const migration = migrations.find(({ number }) => number === Number.parseInt(name, 10))
    if (migration === undefined || (migration.name === name && migration.checksum === checksum)) continue
    problems.push({
      path: place(plugin, migration.name),
      message:
        migration.name === name
          ? 'was changed after it ran'
          : `has the number of ${name}, which has run under that name`,
      hint: 'Put the file back as it was, and make the change in a new file with the next number.',
    })
  }
  return problems
}

function failure(plugin: string, { name, sql }: Migration, error: unknown): Problem {
  const { message, position } = error as { message: string; position?: string }
  const line = position === undefined ? '' : ` (line ${sql.slice(0, Number(position)).split('\n').length})`
  return {
    path: place(plugin, name),
    message: `failed: ${message}${line}`,
    hint: 'Nothing of this file was kept. Correct it and start again.',
  }
}

async function readMigrations(plugin: string, directory: URL): Promise<Migration[]> {
  // `URL` resolves names against the last slash, so one must be there.
  const folder = directory.href.endsWith('/') ? directory : new URL(`${directory.href}/`)
  const files = await readdir(folder).catch((error: unknown) => {
    throw new StartupError(
      [
        {
          path: place(plugin, ''),
          message: `cannot read the migrations in ${fileURLToPath(folder)}`,
          hint: 'Does the package list its migrations directory under "files"?',
        },
      ],
      { cause: error },
    )
  })
  const names = files.filter((name) => name.endsWith('.sql')).sort()
  const problems = numberProblems(plugin, names)
  if (problems.length > 0) throw new StartupError(problems)
  const migrations = await Promise.all(names.map((name) => readMigration(new URL(name, folder), name)))
  const ending = migrations.filter(({ sql }) => /^\s*(begin|commit|rollback)( transaction| work)?\s*;/im.test(sql))
  if (ending.length === 0) return migrations
  throw new StartupError(
    ending.map(({ name }) => ({
      path: place(plugin, name),
      message: 'begins or ends a transaction',
      hint: 'Remove BEGIN, COMMIT and ROLLBACK: each file already runs in a transaction of its own.',
    })),
  )
}

async function readMigration(file: URL, name: string): Promise<Migration> {
  const sql = (await readFile(file, 'utf8')).replaceAll('\r\n', '\n')
  return { number: Number.parseInt(name, 10), name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

/** Numbers must be 1, 2, 3, ...: then two branches that add the same number cannot both be merged unseen. */
function numberProblems(plugin: string, names: readonly string[]): Problem[] {
  const problems: Problem[] = []
  let expected = 1
  let previous: string | undefined
  for (const name of names) {
    const path = place(plugin, name)
    const number = /^(\d{3})-[a-z0-9-]+\.sql$/.exec(name)?.[1]
    if (number === undefined) {
      problems.push({ path, message: 'is not named like 001-create-things.sql', hint: 'Rename the file.' })
      continue
    }
    if (Number(number) === expected - 1 && previous !== undefined) {
      problems.push({
        path,
        message: `has the same number as ${previous}`,
        hint: `Rename it to ${padded(expected)}-...`,
      })
    } else if (Number(number) !== expected) {
      problems.push({ path, message: `${padded(expected)} is missing before it`, hint: 'Numbers have no gaps.' })
    }
    expected = Number(number) + 1
    previous = name
  }
  return problems
}

function padded(number: number): string {
  return String(number).padStart(3, '0')
}

function place(plugin: string, name: string): string {
  return `${plugin}/migrations/${name}`
}
