import { Pool } from 'undici'

/** What an upstream call is sent to. */
export interface Endpoint {
  readonly pool: Pool
  /** With the query. */
  readonly path: string
}

const rememberedEndpoints = 1_000

/**
 * Keep-alive connections to upstreams: one pool per origin and connect timeout, shared by all exchanges. No limit on the
 * number of connections: limits are a matter of plugins, and a hidden queue would look like a slow upstream.
 */
export class Connections {
  readonly #pools = new Map<string, Pool>()
  readonly #endpoints = new Map<string, Endpoint>()

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
      pool = new Pool(origin, {
        connect: { timeout: connectMs },
        headersTimeout: 0,
        bodyTimeout: 0,
        // An aborted HTTP/1 call closes its socket, which every provider understands as "stop generating".
        allowH2: false,
      })
      this.#pools.set(key, pool)
    }
    return pool
  }

  /** Closes all connections, cutting calls under way. */
  async close(): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    this.#endpoints.clear()
    await Promise.all(pools.map((pool) => pool.destroy()))
  }
}
