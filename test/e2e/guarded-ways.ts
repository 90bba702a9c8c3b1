/** A gateway with one guardrail, and the ways in which a request gets to it. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fakeProvider } from '@hadrian/core/testing'
import type { FakeCall, FakeProvider, FakeScript } from '@hadrian/core/testing'
import type { Dialect } from '../../core/contract/plugin.ts'
import type { MemoryPlugin } from '../../core/index.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import type { Json } from './scripted-upstream.ts'

/** Over HTTP, and by the `run` service, which background work uses. */
export const ways = ['http', 'run'] as const
export type Way = (typeof ways)[number]

/** What came back. */
export interface Said {
  readonly status: number
  readonly isStream: boolean
  readonly text: string
}

export interface GuardedBy extends RunningGateway {
  /** Calls that upstreams got, those of a transport of its own too. */
  readonly sent: () => number
  /** What the transport answers from now on. */
  script(next: FakeScript): void
  /** Sends a body to an endpoint and reads the answer to its end. */
  ask(way: Way, dialect: Dialect, body: Json): Promise<Said>
}

const paths: Readonly<Record<Dialect, string>> = {
  chat: '/v1/chat/completions',
  responses: '/v1/responses',
  completions: '/v1/completions',
  embeddings: '/v1/embeddings',
}

/** Starts a gateway with this plugin. */
export async function startGuardedBy(plugin: MemoryPlugin): Promise<GuardedBy> {
  let script: FakeScript = () => []
  const transport: FakeProvider = fakeProvider((call: FakeCall, number: number) => script(call, number))
  const running = await startGateway({
    // It would refuse the files of the fixtures, which are none, before or after the guardrail.
    config: { fetch: { allow: ['127.0.0.1'] }, plugins: { 'file-parser': { enabled: false } } },
    overrides: { plugins: [plugin], providers: [[transport.definition]] },
  })
  return {
    ...running,
    sent: () => running.upstream.calls.length + transport.calls.length,
    script: (next) => void (script = next),
    ask: (way, dialect, body) =>
      way === 'http' ? askOverHttp(running, dialect, body) : askByRun(running, dialect, body),
  }
}

async function askOverHttp(gateway: RunningGateway, dialect: Dialect, body: Json): Promise<Said> {
  const answer = await gateway.post(paths[dialect], body)
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') === true
  return { status: answer.status, isStream, text: await answer.text() }
}

async function askByRun({ gateway }: RunningGateway, dialect: Dialect, body: Json): Promise<Said> {
  const operation = dialect === 'completions' || dialect === 'embeddings' ? dialect : 'generate'
  const answer = await gateway.run({ operation, dialect, body }, { id: 'background' }, new AbortController().signal)
  let text = typeof answer.body === 'string' ? answer.body : Buffer.from(answer.body ?? '').toString('utf8')
  if (answer.stream) for await (const piece of answer.stream) text += piece
  await answer.settled
  return { status: answer.status, isStream: answer.stream !== undefined, text }
}

/** A file of text behind a URL. */
export async function openFile(text: string): Promise<{
  readonly url: string
  readonly fetched: () => number
  readonly close: () => void
}> {
  let fetched = 0
  const server = createServer((_request, response) => {
    fetched++
    response.setHeader('content-type', 'text/plain').end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/notes.txt`,
    fetched: () => fetched,
    close: () => void server.close(),
  }
}
