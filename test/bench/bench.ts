/** What every goal of the benchmark works with. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'
import { startChild } from './child.ts'
import type { Child } from './child.ts'
import { startGateway } from './gateway-process.ts'
import type { GatewaySetup, RunningGateway } from './gateway-process.ts'
import { saturate } from './load-requests.ts'
import type { Pinning } from './pinning.ts'
import { plainTarget } from './target.ts'
import type { Target } from './target.ts'
import { small } from './workloads.ts'

export interface BenchOptions {
  readonly pinning: Pinning
  /** Turns of each candidate. */
  readonly rounds: number
  readonly sliceMs: number
  readonly profileDirectory?: string | undefined
}

/** The compiler takes its time: after three seconds a gateway still needs half as much again. */
const warmUpMs = 10_000

/** Processes that several goals share, each started when it is first asked for. */
export class Bench implements AsyncDisposable {
  readonly options: BenchOptions
  /** The upstream asked directly. */
  readonly direct: Target
  readonly #upstream: Child
  readonly #postgres: PostgresServer
  readonly #directory: string
  readonly #running = new Set<{ stop(): Promise<void> }>()
  #raw: Promise<Target> | undefined
  #gateway: Promise<RunningGateway> | undefined

  private constructor(options: BenchOptions, upstream: Child, postgres: PostgresServer, directory: string) {
    this.options = options
    this.direct = plainTarget('direct', upstream)
    this.#upstream = upstream
    this.#postgres = postgres
    this.#directory = directory
  }

  static async start(options: BenchOptions): Promise<Bench> {
    const directory = await mkdtemp(join(tmpdir(), 'hadrian-bench-'))
    const upstream = await startChild({ command: script('mock-upstream.ts') })
    return new Bench(options, upstream, await startPostgres(), directory)
  }

  /** The raw proxy, warm. */
  raw(): Promise<Target> {
    return (this.#raw ??= this.freshRaw().then(({ target }) => this.#warm(target)))
  }

  /** The gateway with its default plugins on PostgreSQL, warm. */
  gateway(): Promise<RunningGateway> {
    return (this.#gateway ??= this.freshGateway({ name: 'gateway' }).then(async (gateway) => {
      await this.#warm(gateway.target)
      return gateway
    }))
  }

  /** A raw proxy that has answered nothing yet. */
  async freshRaw(): Promise<{ readonly target: Target; stop(): Promise<void> }> {
    const { pinning } = this.options
    const child = await startChild({
      command: [...pinning.candidatePrefix, ...script('raw-proxy.ts'), this.#upstream.url],
    })
    return { target: plainTarget('raw', child), ...this.#tracked(() => child.stop()) }
  }

  /** A gateway that has answered nothing yet, on a database of its own. */
  async freshGateway(setup: Pick<GatewaySetup, 'name' | 'environment' | 'config'>): Promise<RunningGateway> {
    const gateway = await startGateway({
      upstreamUrl: this.#upstream.url,
      directory: this.#directory,
      databaseUrl: await this.#postgres.createDatabase(),
      pinPrefix: this.options.pinning.candidatePrefix,
      profileDirectory: this.options.profileDirectory,
      ...setup,
    })
    return { ...gateway, ...this.#tracked(() => gateway.stop()) }
  }

  /** A fresh gateway after its first seconds of load. */
  async warmGateway(setup: Pick<GatewaySetup, 'name' | 'environment' | 'config'>): Promise<RunningGateway> {
    const gateway = await this.freshGateway(setup)
    await this.#warm(gateway.target)
    return gateway
  }

  /** A directory for files of a goal. */
  newDirectory(): Promise<string> {
    return mkdtemp(join(this.#directory, 'files-'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.stop()))
    await this.#upstream.stop()
    await this.#postgres.stop()
    await rm(this.#directory, { recursive: true, force: true })
  }

  async #warm(target: Target): Promise<Target> {
    await saturate(target, small, { concurrency: 64, durationMs: warmUpMs })
    return target
  }

  /** A stop that this bench calls in the end, if nobody did before. */
  #tracked(stop: () => Promise<void>): { stop(): Promise<void> } {
    const running = {
      stop: () => {
        this.#running.delete(running)
        return stop()
      },
    }
    this.#running.add(running)
    return running
  }
}

function script(name: string): string[] {
  return [process.execPath, ...process.execArgv, join(import.meta.dirname, name)]
}
