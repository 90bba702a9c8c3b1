/** An upstream on a real socket that does what a test tells it to, however wrong, and remembers what it was sent. */

import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { defaultAnswer } from './wire-answers.ts'

export type Json = Record<string, unknown>

/** A piece of a body, written apart from its neighbours; or something to wait for before the next. */
export type Piece = string | Uint8Array | Promise<unknown>

/** What the upstream does with one call. */
export interface Answer {
  /** Default 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Iterable<Piece> | AsyncIterable<Piece>
  /** `end`: properly, the default. `cut`: the socket is destroyed. `stall`: nothing more comes. */
  readonly ending?: 'end' | 'cut' | 'stall'
  /** Not even a head comes. */
  readonly silent?: boolean
}

/** A call the upstream got. */
export interface UpstreamCall {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly bytes: Buffer
  /** The body, parsed; empty if there was none. */
  readonly json: Json
  /** Resolves with `performance.now()` when the socket or the answer has closed. */
  readonly closed: Promise<number>
  /** The answer was complete when it closed. */
  readonly finished: () => boolean
  /** Bytes of the answer's body that were handed to the socket and taken by it. */
  readonly writtenBytes: () => number
}

/** An answer, or what makes one of the call. */
export type Script = Answer | ((call: UpstreamCall) => Answer)

export interface ScriptedUpstream {
  readonly url: string
  /** Every call but those that list models, in order. */
  readonly calls: readonly UpstreamCall[]
  /** The newest call. */
  readonly last: () => UpstreamCall
  /** Answers for the next calls, in order; after them every call gets a plain good answer again. */
  answer(...scripts: readonly Script[]): void
  /** Resolves when so many calls have come since the upstream was opened. */
  received(count: number): Promise<UpstreamCall>
  readonly connections: () => number
  close(): Promise<void>
}

/** Opens an upstream on a free port. */
export async function openUpstream(): Promise<ScriptedUpstream> {
  const calls: UpstreamCall[] = []
  const sockets = new Set<Socket>()
  let scripts: Script[] = []
  let waiting: { readonly count: number; readonly resolve: () => void }[] = []

  const server: Server = createServer((request, response) => {
    void serve(request, response).catch((error: unknown) => response.destroy(error as Error))
  })
  server.on('connection', (socket) => {
    socket.setNoDelay(true)
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.keepAliveTimeout = 60_000

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = await record(request, response)
    if (call.method === 'GET') return write(call, response, defaultAnswer(call))
    calls.push(call)
    const script = scripts.shift() ?? defaultAnswer
    for (const { resolve } of waiting.filter(({ count }) => calls.length >= count)) resolve()
    waiting = waiting.filter(({ count }) => calls.length < count)
    await write(call, response, typeof script === 'function' ? script(call) : script)
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    last: () => calls.at(-1)!,
    answer: (...next) => {
      scripts = [...scripts, ...next]
    },
    async received(count) {
      if (calls.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }))
      return calls[count - 1]!
    },
    connections: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

async function record(request: IncomingMessage, response: ServerResponse): Promise<UpstreamCall> {
  const closed = new Promise<number>((resolve) => response.on('close', () => resolve(performance.now())))
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  const bytes = Buffer.concat(pieces)
  const { socket } = request
  const before = socket.bytesWritten
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    bytes,
    json: bytes.length === 0 ? {} : (JSON.parse(bytes.toString('utf8')) as Json),
    closed,
    finished: () => response.writableFinished,
    writtenBytes: () => socket.bytesWritten - before - socket.writableLength,
  }
}

async function write(call: UpstreamCall, response: ServerResponse, answer: Answer): Promise<void> {
  if (answer.silent) return
  response.writeHead(answer.status ?? 200, { ...answer.headers })
  response.flushHeaders()
  for await (const piece of answer.body) {
    if (typeof piece !== 'string' && !(piece instanceof Uint8Array)) continue
    if (response.destroyed) return
    // One after the other, since the server would join pieces that are written at once.
    await Promise.race([new Promise((resolve) => response.write(piece, resolve)), call.closed])
  }
  if (answer.ending === 'stall') return
  if (answer.ending === 'cut') {
    // What was written leaves first, so that the cut comes after it and not instead of it.
    await new Promise((resolve) => setImmediate(resolve))
    response.destroy()
  } else response.end()
}

export const eventStream = { 'content-type': 'text/event-stream; charset=utf-8' } as const
const jsonType = { 'content-type': 'application/json' } as const

/** A JSON answer. */
export function whole(value: unknown, init: Pick<Answer, 'status' | 'headers'> = {}): Answer {
  return { ...init, headers: { ...jsonType, ...init.headers }, body: [JSON.stringify(value)] }
}

/** An event stream of these pieces. */
export function streamed(body: Answer['body'], init: Omit<Answer, 'body'> = {}): Answer {
  return { ...init, headers: { ...eventStream, ...init.headers }, body }
}

/** A failure in OpenAI's shape. */
export function failure(status: number, error: Json = {}, headers: Readonly<Record<string, string>> = {}): Answer {
  return whole(
    { error: { message: `upstream says ${status}`, type: 'some_error', code: 'some_code', ...error } },
    {
      status,
      headers,
    },
  )
}

/** A JSON answer, compressed. */
export function compressed(value: unknown): Answer {
  return { headers: { ...jsonType, 'content-encoding': 'gzip' }, body: [gzipSync(JSON.stringify(value))] }
}

/** The text in pieces of so many bytes, characters cut apart. */
export function cutEvery(text: string, size: number): Buffer[] {
  const bytes = Buffer.from(text)
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
  return pieces
}

/** Something to wait for, and what ends the wait. */
export function gate(): { readonly open: () => void; readonly wait: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { open: resolve, wait: promise }
}
