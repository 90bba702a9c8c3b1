/** The gateway as an operator runs it: the command line in a process of its own, with a config file and a real key. */

import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startChild } from './child.ts'
import type { Child } from './child.ts'
import type { Target } from './target.ts'

export interface GatewaySetup {
  readonly name: string
  readonly upstreamUrl: string
  /** Parent of its own directory for config, data and log. */
  readonly directory: string
  /** Absent for the embedded database. */
  readonly databaseUrl?: string | undefined
  readonly pinPrefix: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Further lines of the config file. */
  readonly config?: string
  /** Directory for a CPU profile, written when the gateway stops. */
  readonly profileDirectory?: string | undefined
}

export interface RunningGateway {
  readonly target: Target
  /** The same gateway, asked for models of the instance that speaks the Messages API. */
  readonly translating: Target
  stop(): Promise<void>
}

const cli = join(import.meta.dirname, '..', '..', 'core', 'cli.ts')

/** Starts a gateway with the default plugins, limits of every kind on its key, and takes that key, the first it prints. */
export async function startGateway(setup: GatewaySetup): Promise<RunningGateway> {
  const directory = await mkdtemp(join(setup.directory, `${setup.name}-`))
  const config = join(directory, 'hadrian.toml')
  await writeFile(config, configText(setup))
  const child = await startChild({
    command: [
      ...setup.pinPrefix,
      process.execPath,
      ...process.execArgv,
      ...(setup.profileDirectory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${setup.profileDirectory}`]),
      cli,
      'serve',
      '--config',
      config,
    ],
    directory,
    environment: { ...withoutTelemetry(), HADRIAN_DATA_DIR: join(directory, 'data'), ...setup.environment },
    errorFile: join(directory, 'log'),
  })
  const [, key] = await child.said(/^ +(gw_\S+)\n/m)
  const headers = { Authorization: `Bearer ${key}` }
  const target = (modelPrefix: string): Target => ({
    name: setup.name,
    port: portOf(child),
    pid: child.pid,
    modelPrefix,
    headers,
  })
  return { target: target('mock/'), translating: target('claude/'), stop: () => child.stop() }
}

function portOf({ url }: Child): number {
  return Number(new URL(url).port)
}

function configText({ upstreamUrl, databaseUrl, config = '' }: GatewaySetup): string {
  return `${config}
[server]
port = 0

[plugins.rate-limit]
requests_per_minute = 1_000_000_000
tokens_per_minute = 1_000_000_000_000

[plugins.budget]
default_budgets = [{ period = "monthly", limit_usd = 1_000_000_000 }]

[plugins.pricing]
unknown = "default"
default_prices = { input_per_million = 2.5, output_per_million = 10, cached_input_per_million = 1.25 }

[providers.mock]
type = "openai"
base_url = "${upstreamUrl}/v1"
api_key = "bench"

[providers.claude]
type = "anthropic"
base_url = "${upstreamUrl}"
api_key = "bench"
${databaseUrl === undefined ? '' : `\n[database]\nurl = "${databaseUrl}"\n`}`
}

/** Settings of the caller's environment that would change what is measured; undefined removes them. */
function withoutTelemetry(): Record<string, undefined> {
  const names = Object.keys(process.env).filter((name) => /^(OTEL_|HADRIAN_|DATABASE_URL$|PORT$|HOST$)/.test(name))
  return Object.fromEntries(names.map((name) => [name, undefined]))
}
