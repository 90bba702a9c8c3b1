import { Pool } from 'undici'

/**
 * Keep-alive connections to upstreams: one pool per origin and connect timeout, shared by all exchanges. No limit on the
 * number of connections: limits are a matter of plugins, and a hidden queue would look like a slow upstream.
 */
export class Connections {
  readonly #pools = new Map<string, Pool>()

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
    await Promise.all(pools.map((pool) => pool.destroy()))
  }
}
