import type { Dispatcher } from 'undici'
import type { Clock } from '../contract/plugin.ts'
import { gatewayError, isGatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import type { WireRequest } from '../contract/provider.ts'
import type { CancelSignal } from '../services/cancellation.ts'
import type { Connections } from './connections.ts'

/** The four limits on an upstream call, in milliseconds. */
export interface UpstreamTimeouts {
  /** TCP and TLS. */
  readonly connectMs: number
  /** From the request until the first byte of the answer's body. */
  readonly firstByteMs: number
  /** Silence of the upstream between two pieces of the body. A slow client does not count. */
  readonly idleMs: number
  /** Everything together. */
  readonly totalMs: number
}

/** One HTTP call of a provider. */
export interface UpstreamCall {
  readonly provider: string
  readonly baseUrl: string
  readonly wire: WireRequest
  readonly timeouts: UpstreamTimeouts
  readonly signal: CancelSignal
  readonly clock: Clock
  readonly connections: Connections
}

/** An upstream's answer once its head is here; the body follows, pulled. */
export interface UpstreamAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: UpstreamBody
}

/** How long a complete answer may take to end, so that its connection can be used again. */
const endGraceMs = 1_000
/** Pieces that may wait unread before the socket is paused: enough to keep the line busy, too little to hurt. */
const bufferLimitBytes = 65_536

/**
 * Makes one HTTP call. Resolves when the head of the answer is here, whatever its status.
 *
 * @throws GatewayError `provider_timeout`, `provider_error` for a broken connection, or the reason of `signal`
 */
export function callUpstream(call: UpstreamCall): Promise<UpstreamAnswer> {
  return new Promise((resolve, reject) => new UpstreamBody(call, resolve, reject))
}

/**
 * Reads a whole body.
 *
 * @throws GatewayError as {@link UpstreamBody.read} does, and `provider_error` beyond the limit
 */
export async function readAll(body: UpstreamBody, provider: string, limitBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let length = 0
  for (let read = await body.read(); read; read = await body.read())
    for (const piece of read) {
      length += piece.length
      if (length > limitBytes) {
        const error = gatewayError(
          'provider_error',
          `Upstream provider returned error: answer over ${limitBytes} bytes`,
          {
            details: { provider },
          },
        )
        body.cancel(error)
        throw error
      }
      pieces.push(piece)
    }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length)
}

/**
 * The text of a body. What a client wrote inside a string, such as the arguments of a call, may nest deeper than the
 * engine can write once a provider has parsed it.
 */
function written(body: unknown): string {
  try {
    return JSON.stringify(body)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw gatewayError('invalid_request_error', 'The request nests too deeply for this provider', { cause: error })
  }
}

/** The body of one upstream answer: pulled by its reader, which pauses the socket when it falls behind. */
export class UpstreamBody implements Dispatcher.DispatchHandler {
  readonly #call: UpstreamCall
  #controller: Dispatcher.DispatchController | undefined
  #settleHead: { resolve: (answer: UpstreamAnswer) => void; reject: (error: unknown) => void } | undefined
  #pieces: Buffer[] = []
  #bufferedBytes = 0
  #ended = false
  #failure: unknown
  #reader: { resolve: (pieces: Buffer[] | undefined) => void; reject: (error: unknown) => void } | undefined
  readonly #startedMs: number
  /** Since when a reader waits for a piece, after the first. */
  #waitingSinceMs = 0
  #hasBytes = false
  #isComplete = false
  #cancelTimer: (() => void) | undefined
  /** When it fires, by the monotonic clock. */
  #timerMs = 0
  readonly #onAbort = (): void => this.cancel(this.#call.signal.reason)

  constructor(call: UpstreamCall, resolve: (answer: UpstreamAnswer) => void, reject: (error: unknown) => void) {
    this.#call = call
    this.#settleHead = { resolve, reject }
    const { signal, timeouts, clock, wire } = call
    this.#startedMs = clock.monotonicMs()
    if (signal.aborted) {
      this.#fail(signal.reason)
      return
    }
    signal.addEventListener('abort', this.#onAbort)
    this.#watch(Math.min(timeouts.firstByteMs, timeouts.totalMs))
    try {
      const { pool, path } = call.connections.endpoint(call.baseUrl + wire.path, timeouts.connectMs)
      const body = wire.body === undefined || wire.body instanceof Uint8Array ? wire.body : written(wire.body)
      pool.dispatch(
        { path, method: wire.method, headers: wire.headers as Record<string, string>, body: body ?? null },
        this,
      )
    } catch (error) {
      this.#fail(this.#broken(error))
    }
  }

  /**
   * The pieces that have come since the last call, waiting for some if there are none; undefined at the end.
   *
   * @throws GatewayError when the upstream breaks off, is silent too long, or the call was cancelled
   */
  read(): Promise<Buffer[] | undefined> {
    if (this.#pieces.length > 0) return Promise.resolve(this.#take())
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#ended) return Promise.resolve(undefined)
    if (this.#hasBytes) this.#waitForMore()
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
  }

  /**
   * Everything that matters has come. An upstream that keeps the line open all the same is waited for no longer than a
   * moment; then the body ends as if the upstream had ended it.
   */
  expectEnd(): void {
    this.#isComplete = true
  }

  /** Ends the call if it has not ended by itself. */
  leave(): void {
    if (!this.#ended && this.#failure === undefined)
      this.cancel(gatewayError('request_cancelled', 'The answer was left'))
  }

  /** Ends the call and closes its connection; a waiting or later {@link read} rejects with `reason`. */
  cancel(reason: unknown): void {
    if (this.#ended || this.#failure !== undefined) return
    const error = isGatewayError(reason)
      ? reason
      : gatewayError('request_cancelled', 'The request was cancelled', { cause: reason })
    this.#fail(error)
    this.#controller?.abort(error)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#failure !== undefined) controller.abort(this.#failure as Error)
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // An informational head (103 Early Hints) is not the answer.
    if (status < 200 || !this.#settleHead) return
    const { resolve } = this.#settleHead
    this.#settleHead = undefined
    const flat: Record<string, string> = {}
    for (const name in headers) {
      const value = headers[name]
      if (value !== undefined) flat[name] = typeof value === 'string' ? value : value.join(', ')
    }
    resolve({ status, headers: flat, body: this })
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    this.#hasBytes = true
    this.#pieces.push(piece)
    this.#bufferedBytes += piece.length
    if (this.#reader) {
      const { resolve } = this.#reader
      this.#reader = undefined
      resolve(this.#take())
    } else if (this.#bufferedBytes > bufferLimitBytes) controller.pause()
  }

  onResponseEnd(): void {
    this.#ended = true
    this.#release()
    this.#reader?.resolve(undefined)
    this.#reader = undefined
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#failure === undefined && !this.#ended) this.#fail(this.#broken(error))
  }

  #take(): Buffer[] {
    const pieces = this.#pieces
    this.#pieces = []
    this.#bufferedBytes = 0
    if (this.#controller?.paused) this.#controller.resume()
    return pieces
  }

  #fail(error: unknown): void {
    this.#failure = error
    this.#release()
    this.#settleHead?.reject(error)
    this.#settleHead = undefined
    this.#reader?.reject(error)
    this.#reader = undefined
  }

  /** Silence counts from here on. The timer that is set already is often late enough. */
  #waitForMore(): void {
    this.#waitingSinceMs = this.#call.clock.monotonicMs()
    if (this.#timerMs > this.#waitingSinceMs + this.#idleMs) this.#watch(this.#idleMs)
  }

  get #idleMs(): number {
    const { idleMs } = this.#call.timeouts
    return this.#isComplete ? Math.min(idleMs, endGraceMs) : idleMs
  }

  /**
   * Sets the one timer that serves all three limits and every read: when it fires, it is set anew for what is left, in
   * place of a timer for each limit and each piece.
   */
  #watch(delayMs: number): void {
    const { clock } = this.#call
    this.#cancelTimer?.()
    this.#timerMs = clock.monotonicMs() + delayMs
    this.#cancelTimer = clock.after(delayMs, this.#check)
  }

  readonly #check = (): void => {
    const { clock, timeouts } = this.#call
    const nowMs = clock.monotonicMs()
    const totalLeftMs = this.#startedMs + timeouts.totalMs - nowMs
    const firstByteLeftMs = this.#hasBytes ? Infinity : this.#startedMs + timeouts.firstByteMs - nowMs
    const idles = this.#hasBytes && this.#reader !== undefined
    const idleLeftMs = idles ? this.#waitingSinceMs + this.#idleMs - nowMs : this.#idleMs
    if (firstByteLeftMs <= 0) this.cancel(this.#timeout('first_byte', timeouts.firstByteMs))
    else if (idleLeftMs <= 0 && this.#isComplete) this.#endHere()
    else if (idleLeftMs <= 0) this.cancel(this.#timeout('idle', timeouts.idleMs))
    else if (totalLeftMs <= 0) this.cancel(this.#timeout('total', timeouts.totalMs))
    else this.#watch(Math.min(firstByteLeftMs, idleLeftMs, totalLeftMs))
  }

  #endHere(): void {
    this.onResponseEnd()
    this.#controller?.abort(new Error('the answer is complete'))
  }

  #release(): void {
    this.#call.signal.removeEventListener('abort', this.#onAbort)
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }

  #timeout(timeout: string, limitMs: number): GatewayError {
    const { provider } = this.#call
    return gatewayError('provider_timeout', `Upstream provider timed out (${timeout}, ${limitMs} ms)`, {
      details: { provider, timeout, limit_ms: limitMs },
      retryable: true,
    })
  }

  /** A connection that could not be made or broke off. The text of the system error may name internal hosts: it stays in `cause`. */
  #broken(error: unknown): GatewayError {
    if (isGatewayError(error)) return error
    const code = (error as { code?: unknown }).code
    if (code === 'UND_ERR_CONNECT_TIMEOUT') return this.#timeout('connect', this.#call.timeouts.connectMs)
    const { provider } = this.#call
    const refused = code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN'
    return gatewayError(
      'provider_error',
      `Upstream provider returned error: ${refused ? `cannot connect to ${provider}` : 'connection broken'}`,
      { cause: error, details: { provider, upstream_status: null, upstream_code: null }, retryable: 'same' },
    )
  }
}
