/** Several gateway processes on one PostgreSQL, in front of one upstream that keeps its own books. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'
import type { PostgresServer } from '../postgres-server.ts'
import { startPostgres } from '../postgres-server.ts'
import { closeConnections } from './counted-request.ts'
import { openCountingUpstream, prices } from './counting-upstream.ts'
import type { CountingUpstream, Script } from './counting-upstream.ts'
import { serveProcess } from './served-process.ts'
import type { ServedProcess } from './served-process.ts'

/** The model that everybody asks for. */
export const model = 'counted/m'
const adminKey = 'administrator-of-the-fleet-0123456789'

/** A key, and the owners above it. */
export interface FleetKey {
  readonly id: string
  readonly key: string
  readonly organizationId: string
  readonly organization: string
  readonly projectId: string
  readonly project: string
  /** Key, project and organization each have a budget. */
  readonly hasBudgets: boolean
}

export interface Fleet {
  readonly postgres: PostgresServer
  readonly upstream: CountingUpstream
  /** The processes of now: one that was started again is in the place of its predecessor. */
  readonly gateways: readonly ServedProcess[]
  /** Kills a gateway with SIGKILL and waits until it is gone. */
  kill(index: number): Promise<void>
  /** Starts a gateway that was killed, with the same data directory. */
  restart(index: number): Promise<void>
  /** A call of the admin API. Rejects unless it is answered with 2xx. */
  admin<T>(index: number, method: string, path: string, body?: object): Promise<T>
  /** Makes an organization, a project and keys, all with these limits, and waits until all gateways know them. */
  keys(slug: string, limits: KeyLimits, count?: number): Promise<readonly FleetKey[]>
  query<T extends object>(sql: string, params?: readonly unknown[]): Promise<readonly T[]>
}

/** Limits as the admin API takes them, of the one organization, the one project, and each key. */
export interface KeyLimits {
  readonly organization?: OwnLimits
  readonly project?: OwnLimits
  readonly key?: OwnLimits
}

/** The limits of one of them. */
export interface OwnLimits {
  readonly budgets?: readonly object[]
  readonly rate_limits?: object
}

/** Starts all of it; ends with the test. */
export async function startFleet(
  context: Pick<TestContext, 'after'>,
  count: number,
  scriptOf: (number: number) => Script,
): Promise<Fleet> {
  const postgres = await startPostgres()
  context.after(() => postgres.stop())
  const upstream = await openCountingUpstream(scriptOf)
  context.after(() => upstream.close())
  context.after(closeConnections)
  const database = await postgres.createDatabase()
  const directories: string[] = []
  for (let index = 0; index < count; index++) directories.push(await mkdtemp(join(tmpdir(), 'hadrian-fleet-')))
  context.after(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true }))))
  const serve = (directory: string): Promise<ServedProcess> =>
    serveProcess(
      context,
      configOf(upstream.url),
      { HADRIAN_DATA_DIR: directory, DATABASE_URL: database },
      { isAlone: true },
    )
  const gateways = await Promise.all(directories.map(serve))

  const admin = async <T>(index: number, method: string, path: string, body?: object): Promise<T> => {
    const response = await fetch(`${gateways[index]!.url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path} was answered with ${response.status}: ${text}`)
    return JSON.parse(text) as T
  }
  return {
    postgres,
    upstream,
    gateways,
    admin,
    async kill(index) {
      gateways[index]!.child.kill('SIGKILL')
      await gateways[index]!.exit
    },
    async restart(index) {
      gateways[index] = await serve(directories[index]!)
    },
    async keys(slug, limits, keyCount = 1) {
      const { id: organizationId } = await admin<{ id: string }>(0, 'POST', '/organizations', {
        slug,
        ...limits.organization,
      })
      const project = `${slug}-project`
      const path = `/organizations/${slug}/projects`
      const { id: projectId } = await admin<{ id: string }>(0, 'POST', path, { slug: project, ...limits.project })
      const keys: FleetKey[] = []
      const hasBudgets = [limits.organization, limits.project, limits.key].every(
        (limit) => limit?.budgets !== undefined,
      )
      for (let made = 0; made < keyCount; made++) {
        const owner = { type: 'project', project_id: projectId }
        const { id, key } = await admin<{ id: string; key: string }>(0, 'POST', '/api-keys', { owner, ...limits.key })
        await Promise.all(gateways.map(({ url }) => untilKnown(url, key)))
        keys.push({ id, key, organizationId, organization: slug, projectId, project, hasBudgets })
      }
      return keys
    },
    async query<T>(sql: string, params: readonly unknown[] = []) {
      const client = new Client({ connectionString: database })
      await client.connect()
      try {
        return (await client.query(sql, [...params])).rows as T[]
      } finally {
        await client.end()
      }
    },
  }
}

/** A key that was made elsewhere is to be known within a second. */
function untilKnown(url: string, key: string): Promise<void> {
  return eventually(1000, async () => {
    const response = await fetch(`${url}/api/v1/key`, { headers: { authorization: `Bearer ${key}` } })
    await response.arrayBuffer()
    return response.ok ? undefined : `a new key is answered with ${response.status}`
  })
}

function configOf(upstream: string): string {
  return `
[plugins.auth]
bootstrap_key = "${adminKey}"

[plugins.pricing]
built_in = false

[providers.counted]
type = "openai"
base_url = "${upstream}"
api_key = "key-of-the-upstream"

[models."${model}".prices]
${Object.entries(prices)
  .map(([name, value]) => `${name} = ${value}`)
  .join('\n')}
`
}

/** Asks until the answer is undefined, which means that nothing is missing. Rejects with what is, at the deadline. */
export async function eventually(limitMs: number, missing: () => Promise<string | undefined>): Promise<void> {
  const deadlineMs = performance.now() + limitMs
  for (;;) {
    const lack = await missing()
    if (lack === undefined) return
    if (performance.now() > deadlineMs) throw new Error(`after ${limitMs} ms still ${lack}`)
    await pause(50)
  }
}

/** Runs `count` workers that take numbers from 0 to `total` one after the other. */
export async function inTurn(total: number, count: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < total) await work(next++)
  }
  await Promise.all(Array.from({ length: count }, worker))
}

/** Random numbers from 0 to below 1 that are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
