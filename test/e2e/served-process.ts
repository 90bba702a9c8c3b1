/** The command line's own server, in a process of its own. */

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { defaultPlugins } from '../../core/boot/selection.ts'

export interface ServedProcess {
  readonly child: ChildProcess
  readonly url: string
  readonly stdout: () => string
  readonly stderr: () => string
  /** The exit code, when it has ended. */
  readonly exit: Promise<number | null>
}

/** Plugins that need a database, switched off, for a server that starts at once. */
export const withoutDatabase = defaultPlugins.map((name) => `[plugins.${name}]\nenabled = false\n`).join('')

/** Runs `hadrian serve` with this `hadrian.toml` on a free port. Killed when the test ends, if it still runs. */
export async function serveProcess(
  context: Pick<TestContext, 'after'>,
  config: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<ServedProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'hadrian-served-'))
  await writeFile(join(directory, 'hadrian.toml'), config)
  const child = spawn(process.execPath, [new URL('../../core/launch.js', import.meta.url).pathname, 'serve'], {
    cwd: directory,
    env: {
      PATH: process.env['PATH'],
      HOME: directory,
      PORT: '0',
      HADRIAN_DATA_DIR: join(directory, 'data'),
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
  context.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exit
    await rm(directory, { recursive: true, force: true })
  })
  const said = { stdout: '', stderr: '' }
  child.stderr.on('data', (piece: Buffer) => {
    said.stderr += piece.toString()
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (piece: Buffer) => {
      said.stdout += piece.toString()
      const found = /listens on (http:\S+)\n/.exec(said.stdout)?.[1]
      if (found !== undefined) resolve(found)
    })
    void exit.then(() => reject(new Error(`the server ended: ${said.stdout}${said.stderr}`)))
  })
  return { child, url, exit, stdout: () => said.stdout, stderr: () => said.stderr }
}
