import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const launcher = join(import.meta.dirname, '..', '..', 'core', 'launch.js')

/** What a command left behind. */
export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A command under way. */
export interface Running {
  readonly child: ChildProcess
  /** Resolves with what matched when stdout or stderr has it; rejects if the command ends without. */
  output(pattern: RegExp): Promise<RegExpExecArray>
  readonly finished: Promise<Finished>
}

/** Starts the real command line, in an environment that has nothing but what is given. */
export function startCommand(
  context: { after(stop: () => void): void },
  words: readonly string[],
  options: {
    readonly directory: string
    readonly environment?: Readonly<Record<string, string>>
    /** Default: the launcher of the workspace. */
    readonly launcher?: string
  },
): Running {
  const child = spawn(process.execPath, [options.launcher ?? launcher, ...words], {
    cwd: options.directory,
    env: {
      PATH: process.env['PATH'],
      HOME: options.directory,
      HADRIAN_DATA_DIR: join(options.directory, 'data'),
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const texts = { stdout: '', stderr: '' }
  const waiting = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (piece: string) => {
      texts[name] += piece
      for (const look of waiting) look()
    })
  const finished = once(child, 'close').then(([code, signal]) => ({ code, signal, ...texts }))
  context.after(() => void child.kill('SIGKILL'))
  return {
    child,
    finished,
    output: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(texts.stdout) ?? pattern.exec(texts.stderr)
          if (!match) return
          waiting.delete(look)
          resolve(match)
        }
        waiting.add(look)
        look()
        finished.then(
          () => reject(new Error(`ended without ${String(pattern)}:\n${texts.stdout}${texts.stderr}`)),
          reject,
        )
      }),
  }
}

/** Runs a command to its end. */
export function runCommand(...input: Parameters<typeof startCommand>): Promise<Finished> {
  return startCommand(...input).finished
}

/** Runs a line of shell, and gives what it printed. */
export async function runShell(line: string): Promise<string> {
  const child = spawn('sh', ['-c', line], { stdio: ['ignore', 'pipe', 'ignore'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (printed += piece))
  await once(child, 'close')
  return printed
}

/** Runs a script in a Node of its own. */
export async function runNode(script: string): Promise<void> {
  await once(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), 'close')
}
