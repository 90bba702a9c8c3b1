/** A shell that commands are pasted into, one block after the other, as a reader of the README does it. */

import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'

/** What a block of commands left behind. */
export interface Pasted {
  readonly stdout: string
  /** Of each call of curl, in order. */
  readonly statuses: readonly number[]
}

const end = '-- end of block --'

/** One `sh`: what a block sets, the next ones have. Stopped with `await using`. */
export class Shell {
  readonly #child: ChildProcessWithoutNullStreams

  constructor(directory: string) {
    this.#child = spawn('/bin/sh', { cwd: directory, env: { PATH: process.env['PATH'], HOME: directory } })
    // Statuses go where they change nothing that a block reads of an answer.
    this.#child.stdin.write(`curl() { command curl -w '%{stderr}%{http_code}\\n' "$@"; }\n`)
  }

  /** Runs a block. Rejects if it says anything on standard error, or ends the shell. */
  async paste(block: string): Promise<Pasted> {
    const output = this.#until('stdout')
    const errors = this.#until('stderr')
    this.#child.stdin.write(`${block}\nprintf '%s' '${end}'; printf '%s' '${end}' >&2\n`)
    const [stdout, stderr] = await Promise.all([output, errors])
    const lines = stderr.split('\n').slice(0, -1)
    const strange = lines.find((line) => !/^\d{3}$/.test(line))
    if (strange !== undefined) throw new Error(`the shell says: ${strange}`)
    return { stdout, statuses: lines.map(Number) }
  }

  /** What a block has set. */
  async value(name: string): Promise<string> {
    return (await this.paste(`printf '%s' "$${name}"`)).stdout
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }

  #until(name: 'stdout' | 'stderr'): Promise<string> {
    const stream = this.#child[name]
    return new Promise((resolve, reject) => {
      let text = ''
      const read = (piece: Buffer): void => {
        text += piece.toString()
        if (text.endsWith(end)) finish(() => resolve(text.slice(0, -end.length)))
      }
      const closed = (): void => finish(() => reject(new Error(`the shell has ended: ${text}`)))
      const finish = (settle: () => void): void => {
        stream.off('data', read)
        this.#child.off('close', closed)
        settle()
      }
      stream.on('data', read)
      this.#child.once('close', closed)
    })
  }
}
