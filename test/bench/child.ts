/** Child processes of the benchmark: started, awaited until they listen, stopped with it. */

import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'

export interface Child {
  readonly pid: number
  /** Where it listens, as it says itself. */
  readonly url: string
  /** Waits until its standard output matches. */
  said(pattern: RegExp): Promise<RegExpExecArray>
  stop(): Promise<void>
}

export interface ChildOptions {
  readonly command: readonly string[]
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly directory?: string
  /** File for its standard error; default: this process's own. */
  readonly errorFile?: string
}

const answerLimitMs = 60_000

/**
 * Starts a process and waits until it says where it listens.
 *
 * @throws Error with its output if it ends, or says nothing for a minute
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const errors = options.errorFile === undefined ? undefined : openSync(options.errorFile, 'a')
  // The channel ends the child with this process, however that ends.
  const stdio: StdioOptions = ['ignore', 'pipe', errors ?? 'inherit', 'ipc']
  const [program, ...parameters] = options.command
  const child = spawn(program!, parameters, {
    stdio,
    env: { ...process.env, ...options.environment },
    ...(options.directory !== undefined && { cwd: options.directory }),
  })
  if (errors !== undefined) closeSync(errors)
  const said = listener(child, options.command.join(' '))
  const [, url] = await said(/listen(?:s|ing) on (http:\/\/\S+)/)
  return { pid: child.pid!, url: url!, said, stop: () => stop(child) }
}

function listener(child: ChildProcess, name: string): Child['said'] {
  let output = ''
  let check = (): void => {}
  child.stdout!.on('data', (bytes: Buffer) => {
    output += bytes.toString()
    check()
  })
  return (pattern) =>
    new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${name} ${why}:\n${output}`))
      const limit = setTimeout(() => fail('says nothing'), answerLimitMs)
      const onExit = (code: number | null): void => fail(`ended with ${code}`)
      child.once('error', reject)
      child.once('exit', onExit)
      check = () => {
        const match = pattern.exec(output)
        if (!match) return
        clearTimeout(limit)
        child.off('exit', onExit)
        child.off('error', reject)
        resolve(match)
      }
      check()
    })
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const limit = setTimeout(() => child.kill('SIGKILL'), 10_000)
    child.once('exit', () => {
      clearTimeout(limit)
      resolve()
    })
    child.kill('SIGTERM')
  })
}
