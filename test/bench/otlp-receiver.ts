/** Takes whatever an OpenTelemetry exporter sends, and counts it. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface OtlpReceiver {
  readonly url: string
  /** Bytes of traces received so far. */
  readonly traceBytes: () => number
  stop(): void
}

export function startOtlpReceiver(): Promise<OtlpReceiver> {
  let bytes = 0
  const server = createServer((request, response) => {
    request.on('data', (piece: Buffer) => {
      if (request.url === '/v1/traces') bytes += piece.length
    })
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end())
  })
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () =>
      resolve({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        traceBytes: () => bytes,
        stop() {
          server.close()
          server.closeAllConnections()
        },
      }),
    ),
  )
}
