/**
 * The least of HTTP/1.1 that a benchmark needs: messages with a Content-Length, cut out of the bytes of a socket. A full
 * server or client would cost more than what is measured.
 */

/** One message: its head as text, and its body. */
export type OnMessage = (head: string, body: Buffer) => void

const headEnd = '\r\n\r\n'

/** Collects the bytes of one socket and calls back for every complete message. */
export class MessageReader {
  readonly #onMessage: OnMessage
  #pieces: Buffer[] = []
  #length = 0
  /** Bytes until the message is complete, once its head is known. */
  #needed = 0

  constructor(onMessage: OnMessage) {
    this.#onMessage = onMessage
  }

  push(bytes: Buffer): void {
    this.#pieces.push(bytes)
    this.#length += bytes.length
    while (this.#length > 0 && this.#length >= this.#needed) {
      const all = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces, this.#length)
      const headLength = all.indexOf(headEnd) + headEnd.length
      if (headLength < headEnd.length) {
        this.#keep(all)
        return
      }
      const head = all.toString('latin1', 0, headLength)
      const length = headLength + contentLength(head)
      this.#needed = length
      if (all.length < length) {
        this.#keep(all)
        return
      }
      this.#needed = 0
      this.#keep(all.subarray(length))
      this.#onMessage(head, all.subarray(headLength, length))
    }
  }

  #keep(rest: Buffer): void {
    this.#pieces = rest.length === 0 ? [] : [rest]
    this.#length = rest.length
  }
}

function contentLength(head: string): number {
  const declared = /\r\ncontent-length: *(\d+)/i.exec(head)
  return declared ? Number(declared[1]) : 0
}

/** A POST as bytes, sent again and again. */
export function postBytes(path: string, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n${lines.join('')}` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** A whole JSON answer as bytes. */
export function answerBytes(body: string): Buffer {
  return Buffer.from(
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** The head of a streamed answer. */
export const streamHead = Buffer.from(
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n',
)

/** What ends a body in chunks. */
export const lastChunk = '0\r\n\r\n'

/** Text as one chunk of a body in chunks. */
export function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}
