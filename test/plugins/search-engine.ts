/** A search engine on a real socket that answers as a test tells it to, and remembers what it was asked. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { JsonObject } from '../../core/contract/plugin.ts'

export interface EngineRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: JsonObject
  /** Resolves when the answer or its socket has closed. */
  readonly closed: Promise<void>
}

export interface SearchEngine extends AsyncDisposable {
  readonly url: string
  readonly requests: readonly EngineRequest[]
  /** What it does with every call from now on. */
  answer(next: (response: ServerResponse, request: EngineRequest) => void): void
  /** Answers every call from now on with this. */
  json(body: unknown, status?: number): void
  /** Resolves with the next call. */
  next(): Promise<EngineRequest>
}

export async function openEngine(body: unknown = {}, host = '127.0.0.1'): Promise<SearchEngine> {
  const requests: EngineRequest[] = []
  let waiting: ((request: EngineRequest) => void)[] = []
  let listener: (response: ServerResponse, request: EngineRequest) => void
  const json = (value: unknown, status = 200): void => {
    listener = (response) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  }
  json(body)
  const server = createServer((incoming, response) => {
    const pieces: Buffer[] = []
    incoming.on('data', (piece: Buffer) => pieces.push(piece))
    incoming.on('end', () => {
      const url = new URL(incoming.url ?? '/', 'http://engine')
      const request: EngineRequest = {
        method: incoming.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: incoming.headers,
        body: JSON.parse(Buffer.concat(pieces).toString('utf8') || '{}') as JsonObject,
        closed: once(response, 'close').then(() => undefined),
      }
      requests.push(request)
      for (const resolve of waiting) resolve(request)
      waiting = []
      listener(response, request)
    })
  })
  server.listen(0, host)
  await once(server, 'listening')
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    requests,
    answer: (next) => void (listener = next),
    json,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
