import type { ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { errorBody, gatewayError } from '../contract/errors.ts'

/** Failures of the HTTP parser that have a status of their own; any other is a 400. */
const parserFailures: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request took too long to come in'],
}

/** How long a refused client may keep its side of the connection open, to read why. */
const lingerMs = 1_000

/**
 * Answers bytes that are no HTTP request in the shape of every other error, and closes the connection.
 *
 * @param answer the newest answer on this connection: while it is going out, nothing may be written between its bytes
 */
export function refuseConnection(error: Error, socket: Duplex, answer: ServerResponse | undefined): void {
  // A connection that asked for a proxy has no other listener: its reset would end the process.
  socket.on('error', () => undefined)
  const { code = '' } = error as { code?: string }
  if (!socket.writable || code === 'ECONNRESET' || (answer && !answer.writableFinished)) {
    socket.destroy()
    return
  }
  const [status, message] = parserFailures[code] ?? [400, 'This is not a valid HTTP request']
  const requestId = crypto.randomUUID()
  const body = JSON.stringify({ error: errorBody(gatewayError('invalid_request_error', message), requestId) })
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${requestId}\r\nConnection: close\r\n\r\n${body}`,
  )
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}
