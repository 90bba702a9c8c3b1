import type { JsonObject, Logger, Outcome, PluginDefinition, Principal } from '../contract/plugin.ts'
import { definePlugin } from '../contract/plugin.ts'
import type { ServerSentEvent } from '../contract/provider.ts'
import { defaultPlugins } from '../boot/selection.ts'
import { createGateway } from '../index.ts'
import type { Gateway, GatewayOverrides, MemoryPlugin, MemoryProvider } from '../index.ts'
import { EventSplitter } from '../dialects/event-stream.ts'
import { FakeClock } from './fake-clock.ts'
import { fakeProvider } from './fake-provider.ts'
import type { FakeProvider } from './fake-provider.ts'
import { memoryJournal } from './memory-journal.ts'
import type { MemoryJournal } from './memory-journal.ts'

/** What {@link harness} boots. Everything has a default. */
export interface HarnessOptions {
  /** The plugins under test, alone or with what would stand under `[plugins.NAME]`. */
  readonly plugins?: readonly (PluginDefinition | MemoryPlugin)[]
  /** Default: a {@link fakeProvider}, as the default provider. */
  readonly provider?: FakeProvider
  /** More providers, with what would stand under `[providers.INSTANCE]` and the instance's name. */
  readonly providers?: readonly MemoryProvider[]
  /** Further content of `hadrian.toml`. */
  readonly config?: JsonObject
  /** Run the default plugins too. Off by default: they need a database. */
  readonly defaults?: boolean
  readonly database?: GatewayOverrides['database']
  /** Default: one of its own. Pass the same to another harness for what this one leaves: after a stop, or a `crash`. */
  readonly journal?: MemoryJournal
  /** False: set up and not started, as `hadrian plan` does it. Default true. */
  readonly start?: boolean
  /** Who calls; default a principal `tester` that may do everything. */
  readonly principal?: Principal
}

/** One line of the gateway's log. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

/** A whole answer. */
export interface HarnessAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: JsonObject
  readonly outcome: Outcome
}

/** A streamed answer, read as far as the test reads it. */
export interface HarnessStream {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The records, parsed; `[DONE]` is the string. Pull the next to let the gateway go on. */
  readonly records: AsyncGenerator<{ readonly event: string | undefined; readonly data: JsonObject | string }, void>
  /** Everything the client got, as it came over the line. */
  readonly text: () => string
  /** The client goes away. */
  readonly abort: () => void
  readonly outcome: Promise<Outcome>
}

/** What to send and how. */
export interface HarnessRequest {
  readonly dialect?: 'chat' | 'responses' | 'completions' | 'embeddings'
  readonly headers?: Readonly<Record<string, string>>
  readonly principal?: Principal
  readonly signal?: AbortSignal
}

/** A gateway in memory: no sockets, no database, a clock that stands still, a provider with a script. */
export interface Harness extends AsyncDisposable {
  readonly gateway: Gateway
  readonly clock: FakeClock
  readonly provider: FakeProvider
  /** How every exchange ended, in order. */
  readonly outcomes: readonly Outcome[]
  readonly log: readonly LogLine[]
  /** Sends a body and reads the whole answer. `model` defaults to the fake one, messages or input to a greeting. */
  send(body?: JsonObject, request?: HarnessRequest): Promise<HarnessAnswer>
  /** Sends a body with `stream: true`. A failure before the first piece has its status and no records. */
  stream(body?: JsonObject, request?: HarnessRequest): Promise<HarnessStream>
  stop(): Promise<void>
}

/** Boots a gateway in memory. Stop it when the test ends, or declare it with `await using`. */
export async function harness(options: HarnessOptions = {}): Promise<Harness> {
  const clock = new FakeClock()
  const provider = options.provider ?? fakeProvider()
  const journal = (options.journal ?? memoryJournal()).process()
  const outcomes: Outcome[] = []
  const log: LogLine[] = []
  const plugins = (options.plugins ?? []).map((plugin): MemoryPlugin => ('setup' in plugin ? [plugin] : plugin))
  const unwanted = defaultPlugins.filter((name) => plugins.every(([definition]) => definition.name !== name))
  const gateway = await createGateway({
    environment: {},
    config: {
      routing: { default_provider: 'fake' },
      ...options.config,
      plugins: {
        ...(options.defaults ? {} : Object.fromEntries(unwanted.map((name) => [name, { enabled: false }]))),
        ...(options.config?.['plugins'] as JsonObject | undefined),
      },
    },
    overrides: {
      clock,
      logger: recordingLogger(log),
      ...(options.database && { database: options.database }),
      journal,
      plugins: [...plugins, [outcomeRecorder(outcomes)]],
      providers: [[provider.definition], ...(options.providers ?? [])],
    },
  })
  if (options.start !== false) await gateway.start({ listen: false })
  const run = (body: JsonObject, request: HarnessRequest): ReturnType<Gateway['run']> => {
    const dialect = request.dialect ?? 'chat'
    return gateway.run(
      {
        operation: dialect === 'completions' || dialect === 'embeddings' ? dialect : 'generate',
        dialect,
        body: { model: 'fake/fake-model', ...greetings[dialect], ...body },
        headers: request.headers ?? {},
      },
      request.principal ?? options.principal ?? { id: 'tester' },
      request.signal ?? new AbortController().signal,
    )
  }
  const stop = (): Promise<void> => gateway.stop().then(() => journal.end())
  return {
    gateway,
    clock,
    provider,
    outcomes,
    log,
    async send(body = {}, request = {}) {
      const { status, headers, body: sent, settled } = await run(body, request)
      const text = typeof sent === 'string' ? sent : Buffer.from(sent ?? '').toString('utf8')
      return { status, headers, body: JSON.parse(text || '{}') as JsonObject, outcome: await settled }
    },
    async stream(body = {}, request = {}) {
      const controller = new AbortController()
      const signal = request.signal ? AbortSignal.any([request.signal, controller.signal]) : controller.signal
      const result = await run({ ...body, stream: true }, { ...request, signal })
      const seen = { text: typeof result.body === 'string' ? result.body : '' }
      return {
        status: result.status,
        headers: result.headers,
        records: recordsOf(result.stream, seen),
        text: () => seen.text,
        abort: () => controller.abort(),
        outcome: result.settled,
      }
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

const greetings: Readonly<Record<NonNullable<HarnessRequest['dialect']>, JsonObject>> = {
  chat: { messages: [{ role: 'user', content: 'Hello' }] },
  responses: { input: 'Hello' },
  completions: { prompt: 'Hello' },
  embeddings: { input: 'Hello' },
}

/** A plugin of the harness itself, settled last because it stands first. */
function outcomeRecorder(outcomes: Outcome[]): PluginDefinition {
  return definePlugin({
    name: 'harness-outcomes',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    setup: () => ({ settle: (_exchange, outcome) => void outcomes.push(outcome) }),
  })
}

async function* recordsOf(
  stream: AsyncIterable<string> | undefined,
  seen: { text: string },
): AsyncGenerator<{ readonly event: string | undefined; readonly data: JsonObject | string }, void> {
  if (!stream) return
  const splitter = new EventSplitter()
  for await (const piece of stream) {
    seen.text += piece
    for (const message of splitter.push(Buffer.from(piece))) yield parsed(message)
  }
}

function parsed({ event, data }: ServerSentEvent): {
  readonly event: string | undefined
  readonly data: JsonObject | string
} {
  return { event, data: data === '[DONE]' ? data : (JSON.parse(data) as JsonObject) }
}

function recordingLogger(log: LogLine[], bindings: object = {}): Logger & { child(more: object): Logger } {
  const at =
    (level: LogLine['level']) =>
    (fields: object, message: string): void =>
      void log.push({ level, fields: { ...bindings, ...fields }, message })
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (more) => recordingLogger(log, { ...bindings, ...more }),
  }
}
