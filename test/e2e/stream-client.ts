/** Clients that see a stream as it comes over the line. */

import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { recordsOf } from '../open-responses.ts'
import type { Json } from './scripted-upstream.ts'

/** Reads a body piece by piece. */
export interface StreamReader {
  /** What has come so far. */
  readonly text: () => string
  /** Reads on until the text so far has this in it. */
  until(wanted: string): Promise<string>
  /** Reads to the end; rejects if the body is cut. */
  rest(): Promise<string>
  /** Goes away. */
  leave(): void
}

/** Reads the body of an answer as it comes. */
export function readerOf(response: Response): StreamReader {
  const reader = response.body!.getReader()
  const decoder = new TextDecoder()
  let text = ''
  const more = async (): Promise<boolean> => {
    const { done, value } = await reader.read()
    if (!done) text += decoder.decode(value, { stream: true })
    return !done
  }
  return {
    text: () => text,
    async until(wanted) {
      while (!text.includes(wanted)) if (!(await more())) throw new Error(`the body ended without ${wanted}: ${text}`)
      return text
    },
    async rest() {
      while (await more());
      return text
    },
    leave: () => void reader.cancel().catch(() => undefined),
  }
}

/** The payloads of a stream. */
export function payloads(text: string): string[] {
  return recordsOf(text).map(({ data }) => data)
}

/** The payloads of a stream, parsed, without the end mark. */
export function chunks(text: string): Json[] {
  return payloads(text)
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data) as Json)
}

/** Everything an answer says in its text, in either dialect. */
export function saidIn(text: string): string {
  return chunks(text)
    .map((chunk) => {
      if (chunk['type'] === 'response.output_text.delta') return String(chunk['delta'])
      const [choice] = (chunk['choices'] ?? []) as { delta?: { content?: string | null } }[]
      return choice?.delta?.content ?? ''
    })
    .join('')
}

/** A client on a bare socket, which reads only when told to. */
export interface RawClient {
  readonly socket: Socket
  /** Everything until the other side closes. */
  readonly closed: Promise<string>
}

/** Sends these bytes as they are. `paused`: never reads. */
export async function sendRaw(
  url: string,
  bytes: string | Uint8Array,
  options: { readonly paused?: boolean } = {},
): Promise<RawClient> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const pieces: Buffer[] = []
  const closed = new Promise<string>((resolve) => {
    socket.on('close', () => resolve(Buffer.concat(pieces).toString('utf8')))
  })
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  if (!options.paused) socket.on('data', (piece: Buffer) => pieces.push(piece))
  socket.write(bytes)
  return { socket, closed }
}

/** The bytes of a POST request. */
export function rawPost(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const lines = Object.entries({
    host: 'gateway',
    authorization: 'Bearer key-full',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(text)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}`)
  return `POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${text}`
}

/** A request whose client leaves when told to. */
export function leavingPost(
  url: string,
  body: unknown,
  key = 'key-full',
): { readonly leave: () => number; readonly head: Promise<number> } {
  const request = httpRequest(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  })
  request.on('error', () => undefined)
  const head = new Promise<number>((resolve) => {
    request.on('response', (response) => {
      response.on('error', () => undefined)
      response.resume()
      resolve(response.statusCode ?? 0)
    })
  })
  request.end(JSON.stringify(body))
  return {
    head,
    leave() {
      request.destroy()
      return performance.now()
    },
  }
}
