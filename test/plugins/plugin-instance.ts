/** One plugin of one gateway instance, driven by hand: real database, a clock that the test moves. */
import assert from 'node:assert/strict'
import { Ajv } from 'ajv'
import { migrate } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import type {
  Database,
  Hooks,
  InboundCall,
  JsonObject,
  Logger,
  PluginDefinition,
  Principal,
  Queryable,
  Reply,
  RouteCall,
  Row,
  Services,
} from '../../core/contract/plugin.ts'
import { FakeClock } from '../../core/testing/index.ts'

/** A database that counts statements, and fails or waits when it is told to. */
export class WatchedDatabase implements Database {
  readonly #database: OpenedDatabase
  readonly statements: string[] = []
  /** Called before each statement; what it throws is what the database says. */
  before: (sql: string) => void | Promise<void> = () => undefined
  /** Called after each statement that worked. */
  after: (sql: string) => void | Promise<void> = () => undefined

  constructor(database: OpenedDatabase) {
    this.#database = database
  }

  async query<R extends Row = Row>(sql: string, params?: readonly unknown[]): Promise<R[]> {
    return this.#watch(sql, () => this.#database.query<R>(sql, params))
  }

  async tx<T>(work: (transaction: Queryable) => Promise<T>): Promise<T> {
    return this.#watch('tx', () => this.#database.tx(work))
  }

  async insertMany(table: string, rows: readonly Row[], options?: { readonly conflict?: string }): Promise<number> {
    return this.#watch(`insertMany ${rows.length}`, () => this.#database.insertMany(table, rows, options))
  }

  listen(...input: Parameters<Database['listen']>): ReturnType<Database['listen']> {
    return this.#database.listen(...input)
  }

  notify(channel: string, payload: string): Promise<void> {
    return this.#watch('notify', () => this.#database.notify(channel, payload))
  }

  async #watch<T>(sql: string, run: () => Promise<T>): Promise<T> {
    this.statements.push(sql)
    await this.before(sql)
    const result = await run()
    await this.after(sql)
    return result
  }
}

export interface PluginInstance {
  readonly hooks: Hooks
  readonly clock: FakeClock
  readonly database: WatchedDatabase
  /** Every log line, as JSON. */
  readonly log: readonly string[]
  /** Calls one of the plugin's routes, as a caller with the scope it needs. */
  route(method: string, path: string, input?: RouteInput): Promise<Reply & { readonly body: JsonObject }>
}

export interface RouteInput {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly body?: JsonObject
  readonly principal?: Principal
}

/**
 * Migrates and sets a plugin up; starting and stopping it is the test's.
 *
 * @param provided services of other plugins
 */
export async function pluginInstance(
  definition: PluginDefinition,
  opened: OpenedDatabase,
  options: JsonObject = {},
  provided: Readonly<Record<string, unknown>> = {},
): Promise<PluginInstance> {
  const validated = structuredClone(options)
  const validate = new Ajv({ strict: false, useDefaults: true }).compile(definition.options)
  assert(validate(validated), JSON.stringify(validate.errors))
  if (definition.migrations) await migrate(opened, definition.name, definition.migrations)
  const clock = new FakeClock()
  const database = new WatchedDatabase(opened)
  const log: string[] = []
  const services = { ...provided, db: database, clock, logger: logger(log), options: validated }
  const hooks = (await definition.setup(services as unknown as Services & { readonly options: never })) as Hooks
  return {
    hooks,
    clock,
    database,
    log,
    async route(method, path, { params = {}, query = {}, body = {}, principal = { id: 'operator' } } = {}) {
      const route = hooks.routes?.find((each) => each.method === method && each.path === path)
      assert(route, `no route ${method} ${path}`)
      const call: RouteCall = { ...inboundCall({}), method, path, params, query, body: async () => body }
      return (await route.handle(call, principal)) as Reply & { readonly body: JsonObject }
    },
  }
}

/** A call with these headers, in lower case. */
export function inboundCall(headers: Readonly<Record<string, string>>, ip = '127.0.0.1'): InboundCall {
  let principal: Principal | undefined
  return {
    id: crypto.randomUUID(),
    method: 'POST',
    path: '/api/v1/chat/completions',
    query: {},
    headers,
    ip,
    signal: new AbortController().signal,
    get principal() {
      return principal
    },
    identify(value) {
      principal = value
    },
  }
}

/** Waits until `check` holds, for a second of real time. Throws what `check` throws if it never does. */
export async function withinOneSecond(check: () => void | Promise<void>): Promise<void> {
  const deadlineMs = performance.now() + 1000
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() > deadlineMs) throw error
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function logger(lines: string[]): Logger {
  const at =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push(
        JSON.stringify({ level, message, ...fields }, (_, value: unknown) =>
          value instanceof Error
            ? { ...Object.fromEntries(Object.entries(value)), message: value.message, stack: value.stack }
            : value,
        ),
      )
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
