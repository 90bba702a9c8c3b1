/**
 * The floor: the least a proxy in Node can do. `node:http` in front, undici's `dispatch` behind, bodies neither parsed nor
 * changed, one write each way, back-pressure by pausing. Takes the upstream's origin as its argument.
 */

import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import type { Dispatcher, Pool as PoolType } from 'undici'

// The same copy of undici as the gateway has.
const { Pool } = createRequire(new URL('../../core/package.json', import.meta.url))('undici') as {
  Pool: typeof PoolType
}

const upstream = new Pool(process.argv[2]!, { headersTimeout: 0, bodyTimeout: 0, allowH2: false })
const connectionHeaders = new Set(['connection', 'keep-alive', 'transfer-encoding'])

function forward(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  let abort: (() => void) | undefined
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart(controller) {
      abort = () => controller.abort(new Error('the client went away'))
    },
    onResponseStart(controller, status, headers) {
      const passed: Record<string, string | string[]> = {}
      for (const name in headers)
        if (headers[name] !== undefined && !connectionHeaders.has(name)) passed[name] = headers[name]
      response.writeHead(status, passed)
      response.on('drain', () => controller.resume())
    },
    onResponseData(controller, piece) {
      if (!response.write(piece)) controller.pause()
    },
    onResponseEnd() {
      response.end()
    },
    onResponseError() {
      response.destroy()
    },
  }
  response.on('close', () => {
    if (!response.writableEnded) abort?.()
  })
  upstream.dispatch(
    {
      path: request.url!,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': String(body.length) },
      body,
    },
    handler,
  )
}

const server = createServer((request, response) => {
  const pieces: Buffer[] = []
  request.on('data', (piece: Buffer) => pieces.push(piece))
  request.on('end', () => forward(request, response, pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)))
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.once('disconnect', () => process.exit())
