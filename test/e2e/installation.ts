/** A directory in which the published packages are installed from their tarballs, as somebody without a clone has it. */

import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
const authored = join(root, 'test', 'fixtures', 'packages')

/** What {@link installPackages} made. */
export interface Installation extends Disposable {
  /** Has `node_modules` and the `package.json` that names all of them. */
  readonly directory: string
  /** The launcher of the installed core. */
  readonly launcher: string
  /** Where the sources of the packages of other authors lie, built. */
  readonly authors: string
}

/**
 * Builds and packs core and the bundled packages, installs them in an empty directory, builds the packages of other
 * authors against what is installed there, and installs those with `npm install TARBALL`. Takes seconds.
 */
export async function installPackages(): Promise<Installation> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'hadrian-installed-')))
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  try {
    const tarballs = join(directory, 'tarballs')
    const authors = join(directory, 'authors')
    mkdirSync(tarballs)
    await run(root, process.execPath, [...process.execArgv, 'core/publishing/build.ts'])
    await npm(root, ['pack', '--workspaces', '--pack-destination', tarballs])
    writeManifests(directory, readdirSync(tarballs))
    await npm(directory, ['install'])

    cpSync(authored, authors, { recursive: true, filter: (path) => !/[\\/](dist|node_modules)([\\/]|$)/.test(path) })
    const names = readdirSync(authors)
    for (const name of names) {
      await run(join(authors, name), join(root, 'node_modules', '.bin', 'tsc'), ['-p', '.'])
      await npm(join(authors, name), ['pack', '--pack-destination', tarballs])
    }
    await npm(directory, ['install', ...names.map((name) => `./tarballs/${name}-1.0.0.tgz`)])
    const launcher = join(directory, 'node_modules', '@hadrian', 'core', 'launch.js')
    return { directory, launcher, authors, [Symbol.dispose]: remove }
  } catch (error) {
    remove()
    throw error
  }
}

/**
 * A package.json that asks for the tarballs, and a lock with the versions of the workspace for what they depend on: npm
 * then takes those from its cache, where the workspace's own installation left them.
 */
function writeManifests(directory: string, tarballs: readonly string[]): void {
  const dependencies = Object.fromEntries(
    tarballs.map((file) => [file.replace(/^hadrian-(.*)-[^-]+\.tgz$/, '@hadrian/$1'), `file:tarballs/${file}`]),
  )
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { link?: boolean; dev?: boolean; os?: unknown }>
  }
  const locked = Object.entries(packages)
    .filter(([path, { link, dev, os }]) => path.includes('node_modules/') && !link && !dev && os === undefined)
    .map(([path, entry]) => [path.replace(/^core\//, 'node_modules/@hadrian/core/'), entry] as const)
  write(join(directory, 'package.json'), { name: 'installation', private: true, dependencies })
  write(join(directory, 'package-lock.json'), {
    name: 'installation',
    lockfileVersion: 3,
    requires: true,
    packages: { '': { name: 'installation' }, ...Object.fromEntries(locked) },
  })
}

function write(path: string, value: unknown): void {
  writeFileSync(path, JSON.stringify(value, null, 2))
}

function npm(directory: string, words: readonly string[]): Promise<void> {
  return run(directory, 'npm', [...words, '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'])
}

/** Runs a command with the Node of this process. Rejects with its output if it fails. */
async function run(directory: string, command: string, words: readonly string[]): Promise<void> {
  // What an npm that runs the tests has set is about the workspace.
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))
  const child = spawn(command, words, {
    cwd: directory,
    env: { ...environment, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (piece: string) => (output += piece))
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`${command} ${words.join(' ')} ended with ${String(code)}:\n${output}`)
}
