#!/usr/bin/env node
/**
 * Starts the command line under a Node that can run it. The system's Node may be as old as 18: this file is plain
 * JavaScript, finds the Node that npm installed with the project, and starts it. `--run FILE ...` runs another script of
 * the project the same way; tests and benchmarks use it.
 */
import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const oldestMajor = 24
const here = dirname(realpathSync(fileURLToPath(import.meta.url)))

/** The Node to use: this one if it is new enough, else the one that came as an optional dependency. */
function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= oldestMajor) return process.execPath
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const require = createRequire(import.meta.url)
  for (const name of [`node-${platform}-${process.arch}`, `node-bin-${platform}-${process.arch}`]) {
    try {
      const directory = join(dirname(require.resolve(`${name}/package.json`)), 'bin')
      const binary = join(directory, process.platform === 'win32' ? 'node.exe' : 'node')
      if (existsSync(binary)) return binary
    } catch {
      // Not installed: try the next name.
    }
  }
  console.error(
    `hadrian needs Node ${oldestMajor} or newer; this is ${process.version}, and the copy that comes with the project is ` +
      'not installed.\nRun "npm ci" without --omit=optional, or install a newer Node.',
  )
  process.exit(1)
}

const [flag, script, ...rest] = process.argv.slice(2)
// Built JavaScript runs where no TypeScript source is installed beside this file.
const isSource = existsSync(join(here, 'cli.ts'))
const cli = isSource ? join(here, 'cli.ts') : join(here, 'dist', 'cli.js')
const modules = isSource ? join(here, '..', 'node_modules') : join(here, '..', '..')
const target = flag === '--run' && script !== undefined ? [script, ...rest] : [cli, ...process.argv.slice(2)]
const node = findNode()
const flags = [...(isSource ? ['--conditions=hadrian-source'] : []), '--disable-warning=ExperimentalWarning']
const child = spawn(node, [...flags, ...target], {
  // The channel tells the child when this process is killed, so that it does not stay behind.
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  env: {
    ...process.env,
    PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}`,
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(modules, '.cache', 'hadrian'),
  },
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    // Ctrl-C in a terminal reaches the child without us, and twice would mean "at once".
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  })
child.on('error', (error) => {
  console.error(`hadrian: cannot start ${node}: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  // Ends the way the child did, so that whoever waits for this process sees the same.
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
