import { request } from 'node:http'

/** An answer of a gateway to the operator. */
export interface ControlAnswer {
  readonly status: number
  /** Parsed JSON, or text if it is none. */
  readonly body: unknown
}

/** A gateway that is busy stopping must not keep a command waiting for ever. */
const defaultTimeoutMs = 30_000

/** Sends one request over a control socket. Rejects if nobody answers there. */
export function callControlSocket(
  socketPath: string,
  method: string,
  path: string,
  body?: object,
  timeoutMs = defaultTimeoutMs,
): Promise<ControlAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath,
        method,
        path,
        headers: { host: 'localhost', ...(body && { 'content-type': 'application/json' }) },
        timeout: timeoutMs,
      },
      (response) => {
        const pieces: Buffer[] = []
        response.on('data', (piece: Buffer) => pieces.push(piece))
        response.on('error', reject)
        response.on('end', () => {
          const content = Buffer.concat(pieces).toString('utf8')
          resolve({ status: response.statusCode ?? 0, body: parse(content) })
        })
      },
    )
    call.on('timeout', () => call.destroy(new Error('the running gateway does not answer')))
    call.on('error', reject)
    call.end(body && JSON.stringify(body))
  })
}

function parse(content: string): unknown {
  try {
    return JSON.parse(content)
  } catch {
    return content
  }
}
