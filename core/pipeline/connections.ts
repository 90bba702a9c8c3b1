import { Pool } from 'undici'

/** What an upstream call is sent to. */
export interface Endpoint {
  readonly pool: Pool
  /** With the query. */
  readonly path: string
}

const rememberedEndpoints = 1_000

/** A pool, and by how many {@link Connections} it is used. */
interface SharedPool {
  readonly pool: Pool
  users: number
}

/**
 * Keep-alive connections to upstreams, which belong to the process: a reload of the config goes on with those that are
 * open. One pool per origin and connect timeout. No limit on the number of connections: limits are a matter of plugins,
 * and a hidden queue would look like a slow upstream.
 */
export class ConnectionPools {
  readonly #pools = new Map<string, SharedPool>()

  /** Counts a user of a pool; it is made for the first. */
  acquire(key: string, origin: string, connectMs: number): Pool {
    let shared = this.#pools.get(key)
    if (!shared) {
      const pool = new Pool(origin, {
        connect: { timeout: connectMs },
        headersTimeout: 0,
        bodyTimeout: 0,
        // An aborted HTTP/1 call closes its socket, which every provider understands as "stop generating".
        allowH2: false,
      })
      shared = { pool, users: 0 }
      this.#pools.set(key, shared)
    }
    shared.users += 1
    return shared.pool
  }

  /** The last user's leaving closes the pool's connections, cutting calls under way. */
  async release(key: string): Promise<void> {
    const shared = this.#pools.get(key)
    if (!shared) return
    shared.users -= 1
    if (shared.users > 0) return
    this.#pools.delete(key)
    await shared.pool.destroy()
  }
}

/** The pools that the exchanges of one config use. */
export class Connections {
  readonly #shared: ConnectionPools
  readonly #pools = new Map<string, Pool>()
  readonly #endpoints = new Map<string, Endpoint>()

  constructor(shared: ConnectionPools) {
    this.#shared = shared
  }

  /**
   * Where calls of a URL go. Remembers what it has parsed.
   *
   * @throws TypeError for what is no URL
   */
  endpoint(url: string, connectMs: number): Endpoint {
    const key = `${connectMs} ${url}`
    let endpoint = this.#endpoints.get(key)
    if (!endpoint) {
      const { origin, pathname, search } = new URL(url)
      endpoint = { pool: this.pool(origin, connectMs), path: pathname + search }
      // Some providers have the model in the path, which a client chooses.
      if (this.#endpoints.size >= rememberedEndpoints) this.#endpoints.clear()
      this.#endpoints.set(key, endpoint)
    }
    return endpoint
  }

  /** The pool for an origin. Its own header and body timeouts are off: the upstream call has four of its own. */
  pool(origin: string, connectMs: number): Pool {
    const key = `${connectMs} ${origin}`
    let pool = this.#pools.get(key)
    if (!pool) {
      pool = this.#shared.acquire(key, origin, connectMs)
      this.#pools.set(key, pool)
    }
    return pool
  }

  /** Closes the connections that nobody else uses, cutting calls under way. */
  async close(): Promise<void> {
    const keys = [...this.#pools.keys()]
    this.#pools.clear()
    this.#endpoints.clear()
    await Promise.all(keys.map((key) => this.#shared.release(key)))
  }
}
