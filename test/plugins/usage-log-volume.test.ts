/**
 * How the queries of the admin API are carried out on many rows. `USAGE_ROWS=10000000` runs it on ten million exchanges
 * and prints times and plans, which is what the README of the plugin shows.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { JsonObject, Row } from '../../core/contract/plugin.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import { fillUsage } from '../usage-volume.ts'
import type { PluginInstance } from './plugin-instance.ts'
import { UsageTests } from './usage-instance.ts'

const count = Number(process.env['USAGE_ROWS'] ?? 200_000)
/** Far above what it takes, since other tests share the machine: what it finds are queries that read everything. */
const slowestMs = 5000
const tests = new UsageTests()
const path = '/admin/v1/usage'

after(() => tests.close())

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly Plans?: readonly Plan[]
}

/** Every node of a plan that reads a table, as `Index Scan usage_log_exchanges by usage_log_exchanges_pkey`. */
function reads(plan: Plan): string[] {
  const { 'Node Type': type, 'Relation Name': relation, 'Index Name': name, Plans: inner = [] } = plan
  const own = relation === undefined && name === undefined ? [] : [[type, relation, name && `by ${name}`]]
  return [...own.map((words) => words.filter((word) => word !== undefined).join(' ')), ...inner.flatMap(reads)]
}

/** A database that explains each query before it runs it. */
class ExplainingDatabase {
  readonly #database: OpenedDatabase
  plans: string[][] = []

  constructor(database: OpenedDatabase) {
    this.#database = database
  }

  async explain(sql: string, params: readonly unknown[] = []): Promise<string[]> {
    const [row] = await this.#database.query<{ 'QUERY PLAN': readonly { Plan: Plan }[] }>(
      `explain (format json) ${sql}`,
      params,
    )
    return reads(row!['QUERY PLAN'][0]!.Plan)
  }

  /** The database as a plugin gets it. */
  get opened(): OpenedDatabase {
    const database = this.#database
    return {
      kind: database.kind,
      query: async <R extends Row>(sql: string, params: readonly unknown[] = []): Promise<R[]> => {
        this.plans.push(await this.explain(sql, params))
        return database.query<R>(sql, params)
      },
      tx: (work, options) => database.tx(work, options),
      insertMany: (table, rows, options) => database.insertMany(table, rows, options),
      listen: (channel, callback, options) => database.listen(channel, callback, options),
      notify: (channel, payload) => database.notify(channel, payload),
      healthy: () => database.healthy(),
      close: () => Promise.resolve(),
    }
  }
}

/** What is too large to be read whole: never, by anybody; and not for a short range. */
const large = /^(?:Parallel )?Seq Scan usage_log_(?:exchanges|attempts)\b/
const largeForShort = /^(?:Parallel )?Seq Scan usage_log_(?:exchanges|attempts|hours)\b/

describe(`usage-log: ${count.toLocaleString('en-US')} exchanges`, () => {
  let instance: PluginInstance
  let explaining: ExplainingDatabase
  let untilMs: number
  const daysAgo = (days: number): string => new Date(untilMs - days * 86_400_000).toISOString()
  const slow: string[] = []

  before(async () => {
    const url = await (await tests.server).createDatabase()
    const database = await tests.connect(url)
    await (await tests.start(database)).hooks.stop?.()
    explaining = new ExplainingDatabase(database)
    untilMs = Date.UTC(2026, 0, 1, 12, 34)
    const startedMs = performance.now()
    await fillUsage(url, count, untilMs)
    instance = await tests.start(explaining.opened)
    await instance.clock.advance(untilMs - instance.clock.now())
    if (count > 200_000) process.stdout.write(`filled in ${Math.round(performance.now() - startedMs)} ms\n`)
  })

  async function check(route: string, query: Record<string, string>, forbidden: RegExp): Promise<JsonObject> {
    explaining.plans = []
    const ask = async (): Promise<JsonObject> => {
      const [bare = '', id] = route.split(' ')
      const { body } = await instance.route('GET', path + bare, { query, params: id === undefined ? {} : { id } })
      if (!(Symbol.asyncIterator in body)) return body
      // The first page tells the plan, and the second that it goes on.
      let pieces = 0
      for await (const _ of body as unknown as AsyncIterable<string>) if (++pieces > 2) break
      return body
    }
    await ask()
    const plans = explaining.plans
    const startedMs = performance.now()
    const body = await ask()
    const tookMs = performance.now() - startedMs
    const words = `${route} ${new URLSearchParams(query).toString()}`
    if (count > 200_000)
      process.stdout.write(
        `${words} ${tookMs.toFixed(1)} ms\n${[...new Set(plans.flat())].map((read) => `    ${read}\n`).join('')}`,
      )
    for (const read of plans.flat()) assert.ok(!forbidden.test(read), `${words}: ${read}`)
    if (tookMs > slowestMs) slow.push(`${words} ${tookMs.toFixed(0)} ms`)
    return body
  }

  it('are seen to be read whole by a query that has no index', async () => {
    const plan = await explaining.explain(`select count(*) from usage_log_exchanges where finish_reason = 'x'`)
    assert.ok(plan.some((read) => large.test(read)))
  })

  it('are listed by indexes alone, with any filter, from any place', async () => {
    const filters: readonly Record<string, string>[] = [
      {},
      { principal: 'key-0' },
      { principal: 'key-900' },
      { user: 'user-450' },
      { project: 'project-7' },
      { team: 'team-3' },
      { organization: 'org-1' },
      { model: 'model-3' },
      { provider: 'provider-1' },
      { requested_model: 'model-3' },
      { outcome: 'failed' },
      { outcome: 'completed' },
      { error_code: 'request_cancelled' },
      { error_code: 'no such code' },
      { model: 'no such model' },
      { organization: 'org-1', outcome: 'failed' },
      { principal: 'key-3', model: 'model-3' },
    ]
    for (const filter of filters) {
      await check('/logs', filter, large)
      await check('/logs', { ...filter, to: daysAgo(45) }, large)
      const { pagination } = await check('/logs', { ...filter, from: daysAgo(60), to: daysAgo(50), limit: '10' }, large)
      const { next_cursor: cursor } = pagination as { next_cursor: string | null }
      if (cursor !== null) await check('/logs', { ...filter, limit: '1000', cursor }, large)
    }
    const [first] = (await check('/logs', { limit: '1' }, large))['data'] as JsonObject[]
    await check(`/logs/:id ${String(first?.['id'])}`, {}, large)
    await check('/logs/export', { organization: 'org-1' }, large)
    await check('/logs/export', { from: daysAgo(30) }, large)
  })

  it('are summed up from rollups alone', async () => {
    const callers: readonly Record<string, string>[] = [
      {},
      { principal: 'key-0' },
      { team: 'team-3' },
      { organization: 'org-1' },
    ]
    const routes = [
      '',
      '/by-model',
      '/by-provider',
      '/by-key',
      '/by-user',
      '/by-project',
      '/by-team',
      '/by-organization',
    ]
    for (const caller of callers) {
      for (const route of routes) {
        await check(route, caller, large)
        await check(route, { ...caller, from: daysAgo(30) }, large)
        await check(route, { ...caller, from: daysAgo(1.5) }, largeForShort)
      }
      await check('/by-date', caller, large)
      await check('/by-date', { ...caller, from: daysAgo(90), time_zone: 'Europe/Berlin' }, large)
      await check('/by-date', { ...caller, granularity: 'hour' }, largeForShort)
      await check('/by-date', { ...caller, granularity: 'month' }, large)
      await check('/forecast', { ...caller, budget_usd: '1000' }, large)
      await check('/forecast', { ...caller, time_zone: 'Europe/Berlin' }, large)
    }
    const { request_count: requests } = await check('', {}, large)
    assert.equal(requests, count)
  })

  it('answer in good time', () => assert.deepEqual(slow, []))
})
