import type { ServerResponse } from 'node:http'
import type { Clock, Reply, RunResult } from '../contract/plugin.ts'

/** A comment that no event-stream client sees, so that nobody on the way takes a thinking model for a dead connection. */
const keepAliveComment = ': keep-alive\n\n'

/** Writes a whole answer. Adds the length to `headers`. */
export function sendBody(
  response: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body: string | Uint8Array,
): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, Object.assign(headers, { 'content-length': String(Buffer.byteLength(body)) }))
  response.end(body)
}

/**
 * Writes the reply of a plugin or of the kernel that is no model output.
 *
 * @returns a promise only for a body that comes in pieces: resolved when the last is handed over or the client is gone,
 *   rejected with what the body threw, the connection then being broken
 */
export function sendReply(
  response: ServerResponse,
  reply: Reply,
  headers: Readonly<Record<string, string>>,
): Promise<void> | undefined {
  const { body } = reply
  const all = lowerCased(reply.headers, { 'content-type': 'application/json; charset=utf-8', ...headers })
  if (isIterable(body)) return sendPieces(response, reply.status, all, body)
  const raw = typeof body === 'string' || body instanceof Uint8Array
  sendBody(response, reply.status, all, raw ? body : JSON.stringify(body ?? {}))
  return undefined
}

function isIterable(body: unknown): body is AsyncIterable<string> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

/** Writes pieces only as fast as the client reads them, and leaves them when the client goes. */
async function sendPieces(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  pieces: AsyncIterable<string>,
): Promise<void> {
  const iterator = pieces[Symbol.asyncIterator]()
  if (response.destroyed || response.req.method === 'HEAD') {
    await iterator.return?.()
    if (!response.destroyed) response.writeHead(status, headers).end()
    return
  }
  const left = new Promise<void>((resolve) => void response.once('close', resolve))
  response.writeHead(status, headers)
  try {
    for (;;) {
      const { done, value } = await iterator.next()
      if (done || response.destroyed) break
      if (response.write(value)) continue
      await Promise.race([left, new Promise<void>((resolve) => void response.once('drain', resolve))])
      if (response.destroyed) break
    }
  } catch (error) {
    response.destroy()
    throw error
  }
  if (response.destroyed) await iterator.return?.()
  else response.end()
}

/** Ours and then these, names in lower case, so that one of a plugin replaces ours instead of doubling it. */
function lowerCased(
  headers: Readonly<Record<string, string>>,
  ours: Readonly<Record<string, string>>,
): Record<string, string> {
  const lower: Record<string, string> = { ...ours }
  for (const name in headers) lower[name.toLowerCase()] = headers[name]!
  return lower
}

/**
 * Writes the answer of an exchange. A stream is pulled only as fast as the client reads it, kept alive through silences,
 * and left when the client goes. Resolves when the last byte is handed over or the client is gone.
 */
export async function sendResult(
  response: ServerResponse,
  result: RunResult,
  headers: Readonly<Record<string, string>>,
  options: { readonly clock: Clock; readonly keepAliveIntervalMs: number },
): Promise<void> {
  if (!result.stream) {
    sendBody(response, result.status, lowerCased(result.headers, headers), result.body ?? '')
    return
  }
  const iterator = result.stream[Symbol.asyncIterator]()
  if (response.destroyed) {
    await iterator.return?.()
    return
  }
  let gone = false
  let wakeDrain: (() => void) | undefined
  response.on('drain', () => wakeDrain?.())
  response.on('close', () => {
    gone = true
    // Here too, since a stream that does not heed its end would never let the loop below come to it.
    stopKeepAlive()
    wakeDrain?.()
    void iterator.return?.()
  })
  const silence = { sinceMs: options.clock.monotonicMs() }
  const stopKeepAlive = keepAlive(response, options, silence, () => wakeDrain !== undefined)
  response.writeHead(result.status, lowerCased(result.headers, headers))
  try {
    for (;;) {
      const { done, value } = await iterator.next()
      if (done || gone) break
      silence.sinceMs = options.clock.monotonicMs()
      if (response.write(value)) continue
      await new Promise<void>((resolve) => {
        wakeDrain = resolve
        if (gone) resolve()
      })
      wakeDrain = undefined
    }
  } finally {
    stopKeepAlive()
    if (!gone) response.end()
  }
}

/** Writes a comment after each interval of silence, but never onto a line that is blocked. Returns what stops it. */
function keepAlive(
  response: ServerResponse,
  { clock, keepAliveIntervalMs }: { readonly clock: Clock; readonly keepAliveIntervalMs: number },
  silence: { sinceMs: number },
  isBlocked: () => boolean,
): () => void {
  let cancel: () => void
  // One timer that looks back, instead of one set anew for every piece.
  const watch = (delayMs: number): void => {
    cancel = clock.after(delayMs, () => {
      const nowMs = clock.monotonicMs()
      if (nowMs - silence.sinceMs >= keepAliveIntervalMs) {
        if (!isBlocked()) response.write(keepAliveComment)
        silence.sinceMs = nowMs
      }
      watch(silence.sinceMs + keepAliveIntervalMs - nowMs)
    })
  }
  watch(keepAliveIntervalMs)
  return () => cancel()
}
