/** Data directories with an embedded database already in them: creating one takes seconds, copying one does not. */
import { constants, readFileSync, rmSync } from 'node:fs'
import { access, cp, mkdtemp, rename, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { openDatabase } from '../core/services/database/index.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const copies: string[] = []

process.on('exit', () => {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true })
})

/**
 * A fresh copy of a data directory whose embedded database exists and is empty; removed when the process exits. The
 * original is made once per machine, user and PGlite version.
 */
export async function preparedDataDirectory(): Promise<string> {
  const original = await prepared()
  const copy = await mkdtemp(join(tmpdir(), 'hadrian-data-'))
  copies.push(copy)
  await cp(original, copy, { recursive: true, mode: constants.COPYFILE_FICLONE })
  return copy
}

async function prepared(): Promise<string> {
  const original = join(tmpdir(), `hadrian-prepared-${pgliteVersion()}-${userInfo().uid}`)
  if (await exists(original)) return original
  const fresh = await mkdtemp(`${original}-`)
  const database = await openDatabase({ dataDirectory: fresh, logger: silent })
  await database.close()
  try {
    await rename(fresh, original)
  } catch (error) {
    // Another process was faster; renaming onto its directory fails, as it should.
    await rm(fresh, { recursive: true, force: true })
    if (!(await exists(original))) throw error
  }
  return original
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** From the file: the package does not export it. */
function pgliteVersion(): string {
  const main = createRequire(new URL('../core/package.json', import.meta.url)).resolve('@electric-sql/pglite')
  const { version } = JSON.parse(readFileSync(join(dirname(main), '..', 'package.json'), 'utf8')) as { version: string }
  return version
}
