/** An upstream that streams what each request's script says, and keeps its own books: requests, tokens, money. */

import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** What the upstream does with the request of one number, however often it comes. */
export interface Script {
  /** Output tokens of the whole answer. */
  readonly tokens: number
  /** Input tokens that it says came from its cache. */
  readonly cachedTokens?: number
  /** Milliseconds before each token. */
  readonly pauseMs?: number
  /** The first so many requests are answered with 500. */
  readonly failures?: number
  /** The connection breaks after so many tokens. */
  readonly cutAfter?: number
  /** Called when the request has come. */
  readonly arrived?: () => void
  /** Waited for before the answer begins. */
  readonly gate?: Promise<unknown>
}

/** What the upstream has counted for one number. */
export interface Account {
  /** Requests, those that failed too. */
  requests: number
  failed: number
  /** Of the last request. */
  maxTokens: number
  inputTokens: number
  cachedTokens: number
  /** Tokens that were handed to the connection. */
  outputTokens: number
  /** Answers that were sent to their end, with the usage. */
  complete: number
  /** Micro-dollars for all of it: of an answer that nobody waited for, what was sent. */
  billedMicros: number
}

/** Prices of the upstream, as `[models.NAME.prices]` of the config spells them. */
export const prices = { input_per_million: 3, cached_input_per_million: 0.3, output_per_million: 12 } as const

/** What the upstream adds to each prompt, unlike whoever only counts characters. */
const templateTokens = 7
/** Characters of a token, of input and output alike. */
const tokenCharacters = 4
const promptCharacters = 80
/** Tokens of each prompt, as whoever only counts characters counts them. */
export const promptTokens = promptCharacters / tokenCharacters
const token = 'tok '

/** Micro-dollars, rounded up: counted in tenths, so that no fraction is lost. */
export function billOf(inputTokens: number, cachedTokens: number, outputTokens: number): number {
  const tenths = (inputTokens - cachedTokens) * 30 + cachedTokens * 3 + outputTokens * 120
  return Math.ceil(tenths / 10)
}

export interface CountingUpstream {
  readonly url: string
  /** By the number in the prompt. */
  readonly accounts: ReadonlyMap<number, Account>
  close(): Promise<void>
}

/** The prompt of a number: as long as those of all other numbers. */
export function promptOf(number: number): string {
  return `Request ${String(number).padStart(8, '0')}. `.padEnd(promptCharacters, 'Say something. ')
}

/** Opens it. `scriptOf` says what becomes of the request of a number. */
export async function openCountingUpstream(scriptOf: (number: number) => Script): Promise<CountingUpstream> {
  const accounts = new Map<number, Account>()
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    void serve(request, response).catch((error: unknown) => response.destroy(error as Error))
  })
  server.keepAliveTimeout = 120_000
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => sockets.delete(socket))
  })

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece as Buffer)
    if (request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"object":"list","data":[]}')
      return
    }
    const body = JSON.parse(Buffer.concat(pieces).toString('utf8')) as ChatBody
    const prompt = body.messages[0]!.content
    const number = Number(/^Request (\d+)\./.exec(prompt)![1])
    const script = scriptOf(number)
    const account = accountOf(accounts, number)
    account.requests++
    account.maxTokens = body.max_tokens
    if (account.failed < (script.failures ?? 0)) {
      account.failed++
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{"message":"try again"}}')
      return
    }
    await answer(response, { body, prompt, script, account })
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    accounts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

interface ChatBody {
  readonly messages: readonly { readonly content: string }[]
  readonly max_tokens: number
  readonly stream_options?: { readonly include_usage?: boolean }
}

interface Answering {
  readonly body: ChatBody
  readonly prompt: string
  readonly script: Script
  readonly account: Account
}

async function answer(response: ServerResponse, { body, prompt, script, account }: Answering): Promise<void> {
  const inputTokens = Math.ceil(prompt.length / tokenCharacters) + templateTokens
  const cachedTokens = script.cachedTokens ?? 0
  const tokens = Math.min(script.tokens, body.max_tokens)
  account.inputTokens += inputTokens
  account.cachedTokens += cachedTokens
  account.billedMicros += billOf(inputTokens, cachedTokens, 0)
  const inputMicros = account.billedMicros
  let isGone = false
  response.once('close', () => (isGone = true))
  script.arrived?.()
  await script.gate
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (let sent = 0; sent < tokens; sent++) {
    if (script.pauseMs) await pause(script.pauseMs)
    if (isGone) return
    if (sent === script.cutAfter) {
      response.destroy()
      return
    }
    response.write(chunk({ choices: [{ index: 0, delta: { content: token }, finish_reason: null }] }))
    account.outputTokens++
    account.billedMicros = inputMicros + (sent + 1) * prices.output_per_million
  }
  account.complete++
  const usage = {
    prompt_tokens: inputTokens,
    completion_tokens: tokens,
    total_tokens: inputTokens + tokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  }
  response.end(
    chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) +
      (body.stream_options?.include_usage ? chunk({ choices: [], usage }) : '') +
      'data: [DONE]\n\n',
  )
}

function accountOf(accounts: Map<number, Account>, number: number): Account {
  let account = accounts.get(number)
  if (!account) {
    account = {
      requests: 0,
      failed: 0,
      maxTokens: 0,
      inputTokens: 0,
      cachedTokens: 0,
      outputTokens: 0,
      complete: 0,
      billedMicros: 0,
    }
    accounts.set(number, account)
  }
  return account
}

function chunk(fields: object): string {
  return `data: ${JSON.stringify({ id: 'chatcmpl-counted', object: 'chat.completion.chunk', created: 1_766_147_486, model: 'm', ...fields })}\n\n`
}
