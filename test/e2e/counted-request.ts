/** A client of streams that notes what it saw, whatever becomes of the stream. */

import { Agent, request as httpRequest } from 'node:http'
import { promptOf } from './counting-upstream.ts'

/** What a client asks for, and when it goes away. */
export interface CountedRequest {
  readonly url: string
  readonly key: string
  readonly model: string
  /** Stands in the prompt. */
  readonly number: number
  readonly maxTokens: number
  /** Leaves after so many tokens; 0: before the answer begins, as soon as `arrived` resolves. */
  readonly leaveAfter?: number
  readonly arrived?: Promise<unknown>
  /** Sent as `X-Request-Id`. The exchange has an id of its own then, which only the log tells. */
  readonly requestId?: string
  /** Told when the head of the answer is there. */
  readonly onHead?: () => void
}

/** What the client saw. */
export interface Seen {
  /**
   * done: the whole stream. refused: an error in place of it. failed: an error inside of it. left: by its own will.
   * broken: the connection broke. unreachable: there was never one.
   */
  end: 'done' | 'refused' | 'failed' | 'left' | 'broken' | 'unreachable'
  /** Of the answer, which is the id of the exchange. */
  id: string | undefined
  status: number | undefined
  /** The error of the answer, or of the stream. */
  error: { readonly code: string; readonly details?: Readonly<Record<string, unknown>> } | undefined
  headers: Readonly<Record<string, string | string[] | undefined>>
  /** Tokens that came. */
  tokens: number
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 500 })

/** Closes connections that nobody uses. */
export function closeConnections(): void {
  agent.destroy()
}

/** Sends it. Resolves when the stream is over, one way or another; never rejects. */
export function sendCounted(asked: CountedRequest): Promise<Seen> {
  const seen: Seen = { end: 'broken', id: undefined, status: undefined, error: undefined, headers: {}, tokens: 0 }
  const body = JSON.stringify({
    model: asked.model,
    stream: true,
    max_tokens: asked.maxTokens,
    messages: [{ role: 'user', content: promptOf(asked.number) }],
  })
  return new Promise((resolve) => {
    let isOver = false
    const end = (how: Seen['end']): void => {
      if (isOver) return
      isOver = true
      seen.end = how
      resolve(seen)
    }
    const request = httpRequest(`${asked.url}/v1/chat/completions`, {
      agent,
      method: 'POST',
      headers: {
        authorization: `Bearer ${asked.key}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        ...(asked.requestId !== undefined && { 'x-request-id': asked.requestId }),
      },
    })
    const leave = (): void => {
      end('left')
      request.destroy()
    }
    request.on('error', (error: NodeJS.ErrnoException) => {
      end(error.code === 'ECONNREFUSED' ? 'unreachable' : 'broken')
    })
    request.on('response', (response) => {
      seen.status = response.statusCode
      seen.headers = response.headers
      if (asked.requestId === undefined) seen.id = response.headers['x-request-id'] as string
      asked.onHead?.()
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => {
        if (isOver) return
        text += piece
        seen.tokens = text.split('"content":"tok "').length - 1
        if (asked.leaveAfter !== undefined && seen.tokens >= asked.leaveAfter) leave()
      })
      response.on('error', () => end('broken'))
      response.on('end', () => {
        if (response.statusCode !== 200) {
          seen.error = (JSON.parse(text) as { error: NonNullable<Seen['error']> }).error
          end('refused')
        } else if (text.endsWith('data: [DONE]\n\n')) end('done')
        else {
          const last = text.trimEnd().split('\n\n').at(-1) ?? ''
          seen.error = errorOf(last)
          end(seen.error ? 'failed' : 'broken')
        }
      })
    })
    if (asked.leaveAfter === 0) void asked.arrived?.then(leave)
    request.end(body)
  })
}

function errorOf(record: string): Seen['error'] {
  try {
    return (JSON.parse(record.replace(/^data: /, '')) as { error?: NonNullable<Seen['error']> }).error
  } catch {
    return undefined
  }
}
