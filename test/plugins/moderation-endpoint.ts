/** A moderation endpoint on a real socket, which flags what has its words in it. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

type Json = Record<string, unknown>

/** What the endpoint answers in place of a verdict. */
export type Trouble = 'broken' | 'cut' | 'nonsense' | 'short' | 'shapeless' | 'silent' | 'throttled'

export interface ModerationServer extends AsyncDisposable {
  readonly url: string
  /** The bodies it got, in order. */
  readonly requests: readonly { readonly model: unknown; readonly input: readonly unknown[]; readonly key: unknown }[]
  /** What goes wrong with the next requests, in order; `undefined` is none. */
  trouble(...next: readonly (Trouble | undefined)[]): void
  /** Holds answers back until the promise resolves. */
  hold(until: Promise<unknown> | undefined): void
  /** Resolves when so many requests have come. */
  received(count: number): Promise<void>
  close(): Promise<void>
}

/** Flags texts with one of these words, as `violence`; images by their URL. */
export async function openModeration(words: readonly string[] = ['falcon']): Promise<ModerationServer> {
  const requests: ModerationServer['requests'][number][] = []
  let troubles: (Trouble | undefined)[] = []
  let held: Promise<unknown> | undefined
  let waiting: { readonly count: number; readonly resolve: () => void }[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => void answer(JSON.parse(Buffer.concat(pieces).toString()) as Json))
    async function answer({ model, input }: Json): Promise<void> {
      requests.push({ model, input: input as unknown[], key: request.headers.authorization })
      const trouble = troubles.shift()
      const hold = held
      for (const { resolve } of waiting.filter(({ count }) => requests.length >= count)) resolve()
      waiting = waiting.filter(({ count }) => requests.length < count)
      await hold
      if (trouble === 'silent') return
      if (trouble === 'cut') return void response.destroy()
      const results = (input as unknown[]).map((each) => resultOf(JSON.stringify(each), words))
      if (trouble === 'broken' || trouble === 'throttled') response.statusCode = trouble === 'broken' ? 500 : 429
      response.setHeader('content-type', 'application/json')
      if (trouble === 'nonsense') response.end('<html>')
      else if (trouble === 'short') response.end(JSON.stringify({ results: results.slice(1) }))
      else if (trouble === 'shapeless') response.end(JSON.stringify({ results: results.map(() => ({})) }))
      else response.end(JSON.stringify({ id: 'modr-1', model, results }))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    trouble: (...next) => void (troubles = [...next]),
    hold: (until) => void (held = until),
    async received(count) {
      if (requests.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }))
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function resultOf(text: string, words: readonly string[]): Json {
  const isBad = words.some((word) => text.toLowerCase().includes(word))
  return {
    flagged: isBad,
    categories: { violence: isBad, sexual: false },
    category_scores: { violence: isBad ? 0.9 : 0.01, sexual: isBad ? 0.4 : 0.02 },
  }
}
