/** The command line's own server, in a process of its own. */

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { defaultPlugins } from '../../core/boot/selection.ts'

export interface ServedProcess {
  readonly child: ChildProcess
  readonly url: string
  readonly stdout: () => string
  readonly stderr: () => string
  /** All of standard output, once it has what matches. */
  readonly printed: (pattern: RegExp) => Promise<string>
  /** The exit code, when it has ended. */
  readonly exit: Promise<number | null>
}

/** What the launcher starts a gateway from its source with. */
const launcherFlags = ['--conditions=hadrian-source', '--disable-warning=ExperimentalWarning']

/** Plugins that need a database, switched off, for a server that starts at once. */
export const withoutDatabase = defaultPlugins.map((name) => `[plugins.${name}]\nenabled = false\n`).join('')

/**
 * Runs `hadrian serve` with this `hadrian.toml` on a free port. Killed when the test ends, if it still runs.
 *
 * @param options `isAlone`: without the launcher, which a SIGKILL would end in place of the gateway
 */
export async function serveProcess(
  context: Pick<TestContext, 'after'>,
  config: string,
  environment: Readonly<Record<string, string>> = {},
  options: { readonly isAlone?: boolean } = {},
): Promise<ServedProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'hadrian-served-'))
  await writeFile(join(directory, 'hadrian.toml'), config)
  const start = options.isAlone ? [...launcherFlags, corePath('cli.ts')] : [corePath('launch.js')]
  const child = spawn(process.execPath, [...start, 'serve'], {
    cwd: directory,
    env: {
      PATH: process.env['PATH'],
      HOME: directory,
      PORT: '0',
      HADRIAN_DATA_DIR: join(directory, 'data'),
      ...environment,
    },
    // The channel tells the gateway when this process is killed.
    stdio: ['ignore', 'pipe', 'pipe', ...(options.isAlone ? ['ipc' as const] : [])],
  })
  const { stdout, stderr } = child
  if (stdout === null || stderr === null) throw new Error('no output to read')
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
  context.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exit
    await rm(directory, { recursive: true, force: true })
  })
  const said = { stdout: '', stderr: '' }
  stderr.on('data', (piece: Buffer) => {
    said.stderr += piece.toString()
  })
  const url = await new Promise<string>((resolve, reject) => {
    stdout.on('data', (piece: Buffer) => {
      said.stdout += piece.toString()
      const found = /listens on (http:\S+)\n/.exec(said.stdout)?.[1]
      if (found !== undefined) resolve(found)
    })
    void exit.then(() => reject(new Error(`the server ended: ${said.stdout}${said.stderr}`)))
  })
  const printed = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(said.stdout)) resolve(said.stdout)
      }
      stdout.on('data', look)
      look()
      void exit.then(() => reject(new Error(`the server ended: ${said.stdout}${said.stderr}`)))
    })
  return { child, url, exit, printed, stdout: () => said.stdout, stderr: () => said.stderr }
}

function corePath(file: string): string {
  return fileURLToPath(new URL(`../../core/${file}`, import.meta.url))
}
