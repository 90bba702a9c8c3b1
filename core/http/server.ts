import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { gatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { Front } from './front.ts'

/** The exchanges that the server waits for before it ends. */
export interface Exchanges {
  /** Those that are not settled yet. */
  readonly open: number
  /** Resolves when none is open. */
  idle(): Promise<void>
  /** Ends every open one with this reason. */
  abortAll(reason: GatewayError): void
}

/** How long aborted exchanges get to settle and to write their last words. */
const lastWordsMs = 2_000
/** How long an idle connection stays open: longer than the 60 seconds of common load balancers, who must be first to close. */
const keepAliveTimeoutMs = 75_000
/** Pause between two looks at whether the last connections are gone. */
const pollMs = 20

/** The listening side of the gateway: the public port, and the control socket. */
export class HttpServer {
  readonly #front: Front
  readonly #exchanges: Exchanges
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()
  #draining = false

  constructor(front: Front, exchanges: Exchanges) {
    this.#front = front
    this.#exchanges = exchanges
  }

  /**
   * Listens on the public port; 0 takes a free one.
   *
   * @throws the system's error, `EADDRINUSE` for one
   */
  async listen(
    host: string,
    port: number,
  ): Promise<{ readonly host: string; readonly port: number; readonly url: string }> {
    const server = await this.#open(this.#front.callback, (each) => each.listen(port, host))
    const bound = (server.address() as AddressInfo).port
    const shown = host.includes(':') ? `[${host}]` : host
    return { host, port: bound, url: `http://${shown}:${bound}` }
  }

  /** Listens on a Unix socket, for the operator's own commands. */
  async listenLocal(path: string): Promise<void> {
    await this.#open(this.#front.localCallback, (each) => each.listen(path))
  }

  /**
   * Takes no new connections, waits for open exchanges up to `timeoutMs`, aborts the rest with a typed error, and closes all
   * connections when the last words are written. Safe to call twice.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true
    for (const server of this.#servers) server.close()
    await this.#within(this.#exchanges.idle(), timeoutMs)
    if (this.#exchanges.open > 0) {
      this.#exchanges.abortAll(gatewayError('shutting_down', 'The gateway is stopping'))
      await this.#within(this.#exchanges.idle(), lastWordsMs)
    }
    for (let waitedMs = 0; this.#sockets.size > 0 && waitedMs < lastWordsMs; waitedMs += pollMs) {
      // An answer that has just ended makes its connection idle, while its last bytes, or the answer to the next request,
      // are still to be written.
      await this.#within(new Promise(() => {}), pollMs)
      if ([...this.#sockets].every(({ writableLength }) => writableLength === 0))
        for (const server of this.#servers) server.closeIdleConnections()
    }
    for (const server of this.#servers) server.closeAllConnections()
  }

  #open(callback: Front['callback'], listen: (server: Server) => void): Promise<Server> {
    // The app refuses a missing Host itself, since the server would do it without a body.
    const server = createServer({ keepAliveTimeout: keepAliveTimeoutMs, requireHostHeader: false }, callback)
    server.on('checkExpectation', callback)
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.on('clientError', this.#front.clientError)
    server.on('connect', (_request, socket) => this.#front.clientError(new Error('a proxy is asked for'), socket))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.once('listening', () => {
        server.off('error', reject)
        if (this.#draining) {
          // It began to listen too late to be closed with the others.
          server.close()
          reject(new Error('the gateway was stopped while it started'))
          return
        }
        this.#servers.push(server)
        resolve(server)
      })
      listen(server)
    })
  }

  /** Waits for `work`, but not longer than this in real time: a stopped test clock must not keep a process from ending. */
  #within(work: Promise<unknown>, limitMs: number): Promise<unknown> {
    let timer: NodeJS.Timeout
    const limit = new Promise((resolve) => {
      timer = setTimeout(resolve, limitMs)
    })
    return Promise.race([work, limit]).finally(() => clearTimeout(timer))
  }
}
