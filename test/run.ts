/**
 * The test command: types, lint and format first, then every test file under this directory. Prints only what failed and
 * the totals; `--verbose` prints every test. Words after the options are files to run instead of all.
 */

import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

const root = dirname(import.meta.dirname)
const binaries = join(root, 'node_modules', '.bin')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { verbose: { type: 'boolean', default: false }, 'skip-checks': { type: 'boolean', default: false } },
})

/** Runs a command with this terminal as its own. Resolves to its exit code. */
function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit' })
    child.on('error', reject)
    child.on('exit', (code) => resolve(code ?? 1))
  })
}

async function check(name: string, command: string, args: readonly string[]): Promise<boolean> {
  const code = await run(join(binaries, command), args)
  if (code !== 0) console.error(`${name} failed`)
  return code === 0
}

const files = positionals.length > 0 ? positionals : globSync('test/**/*.test.ts', { cwd: root }).toSorted()
let passed = true
if (!values['skip-checks'] && positionals.length === 0) {
  passed = (await check('Type check', 'tsc', ['--noEmit', '-p', '.'])) && passed
  passed = (await check('Lint', 'oxlint', ['--type-aware', '--deny-warnings'])) && passed
  passed = (await check('Format', 'oxfmt', ['--check', '.'])) && passed
}
const reporter = values.verbose ? 'spec' : join(root, 'test', 'failures-reporter.ts')
passed =
  (await run(process.execPath, [
    ...process.execArgv,
    '--test',
    `--test-concurrency=${Math.max(2, availableParallelism())}`,
    '--test-timeout=120000',
    `--test-reporter=${reporter}`,
    ...files,
  ])) === 0 && passed
process.exitCode = passed ? 0 : 1
