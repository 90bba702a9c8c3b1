import type { IncomingMessage, ServerResponse } from 'node:http'

/** Counts requests from their first line to the end of their answer. */
export class OpenRequests {
  #count = 0
  #whenNone: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  /** Counts a request until its answer is written or its client is gone. */
  add(request: IncomingMessage, response: ServerResponse): void {
    this.#count += 1
    if (response.socket) response.on('close', this.#left)
    else {
      // Its turn on a pipelined connection has not come: if the connection breaks before, the answer never closes.
      const { socket } = request
      // A client may send any number of requests ahead.
      socket.setMaxListeners(0)
      const left = (): void => {
        response.off('close', left)
        socket.off('close', left)
        this.#left()
      }
      response.on('close', left)
      socket.on('close', left)
    }
  }

  /** Resolves when there are none. */
  none(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenNone.push(resolve))
  }

  readonly #left = (): void => {
    this.#count -= 1
    if (this.#count > 0) return
    for (const resolve of this.#whenNone) resolve()
    this.#whenNone = []
  }
}
