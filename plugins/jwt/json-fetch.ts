import type { Clock } from '@hadrian/core/plugin'

/** Key sets have some kilobytes. */
const limitBytes = 1_048_576

/**
 * Fetches JSON from the operator's issuer. Not by the gateway's safe fetch, which is for URLs of strangers: an issuer may
 * well have a private address. Follows no redirects.
 *
 * @throws Error for anything but a 200 with JSON
 */
export async function fetchJson(url: string, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(url, { headers: { accept: 'application/json' }, redirect: 'error', signal })
  try {
    if (response.status !== 200) throw new Error(`${url} answers with status ${response.status}`)
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of response.body ?? []) {
      size += chunk.length
      if (size > limitBytes) throw new Error(`${url} answers with more than ${limitBytes} bytes`)
      chunks.push(chunk)
    }
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } finally {
    if (response.body && !response.bodyUsed) await response.body.cancel()
  }
}

/** Runs `work` with a signal that aborts after a time, or with `stopped`. */
export async function withTimeout<T>(
  clock: Clock,
  timeoutMs: number,
  stopped: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const cancel = clock.after(timeoutMs, () => controller.abort(new Error(`no answer within ${timeoutMs} ms`)))
  try {
    return await work(AbortSignal.any([controller.signal, stopped]))
  } finally {
    cancel()
  }
}
