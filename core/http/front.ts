import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { App } from './app.ts'
import { refuseConnection } from './client-error.ts'

/**
 * What the listening sockets call: it belongs to the process, and passes each request on to the shell of the config that
 * is in force when the request comes in.
 */
export class Front {
  readonly #current: () => App
  /** The newest answer on each connection, whichever shell it is of. */
  readonly #answers = new WeakMap<Duplex, ServerResponse>()

  constructor(current: () => App) {
    this.#current = current
  }

  /** For the public port. */
  readonly callback = (request: IncomingMessage, response: ServerResponse): void => {
    this.#answers.set(request.socket, response)
    this.#current().callback(request, response)
  }

  /** For the control socket: whoever can open it is an administrator. */
  readonly localCallback = (request: IncomingMessage, response: ServerResponse): void => {
    this.#answers.set(request.socket, response)
    this.#current().localCallback(request, response)
  }

  /** For bytes that are no HTTP. */
  readonly clientError = (error: Error, socket: Duplex): void =>
    refuseConnection(error, socket, this.#answers.get(socket))
}
