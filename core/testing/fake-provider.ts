import type {
  Capabilities,
  GenerateRequest,
  Provider,
  ProviderDefinition,
  StreamEvent,
  Target,
} from '../contract/provider.ts'

/** One call the fake provider got. */
export interface FakeCall {
  readonly request: GenerateRequest
  readonly target: Target
  readonly signal: AbortSignal
  /** The call has ended: answered, failed or left. */
  ended: boolean
}

/** What the provider does with a call: the events of its answer, one by one, or a throw. */
export type FakeScript = (call: FakeCall, number: number) => Iterable<StreamEvent> | AsyncIterable<StreamEvent>

/** A provider that answers from a script, with no network, and remembers what it was asked. */
export interface FakeProvider {
  readonly definition: ProviderDefinition
  readonly calls: readonly FakeCall[]
}

/** The events of a plain answer. */
export function textEvents(text: string, usage = { inputTokens: 3, outputTokens: 2 }): StreamEvent[] {
  return [
    { type: 'start', id: 'fake-1', model: 'fake-model' },
    ...(text.match(/\S+\s*|\s+/g) ?? []).map((piece): StreamEvent => ({ type: 'text', text: piece })),
    { type: 'usage', usage },
    { type: 'finish', reason: 'stop', raw: 'stop' },
  ]
}

/** Makes a provider whose instance is called `fake`. Without a script every call is answered with `Hello there.` */
export function fakeProvider(
  script: FakeScript = () => textEvents('Hello there.'),
  capabilities: Partial<Capabilities> = {},
): FakeProvider {
  const calls: FakeCall[] = []
  const definition: ProviderDefinition = {
    name: 'fake',
    api: 1,
    description: 'Answers from a script.',
    options: { type: 'object', properties: {}, additionalProperties: false },
    setup: () => providerOf(script, calls, capabilities),
  }
  return { definition, calls }
}

function providerOf(script: FakeScript, calls: FakeCall[], capabilities: Partial<Capabilities>): Provider {
  return {
    capabilities: {
      operations: ['generate', 'completions', 'embeddings'],
      dialects: {},
      tools: true,
      jsonSchema: true,
      reasoning: true,
      choices: true,
      ...capabilities,
    },
    models: () => [{ id: 'fake-model' }],
    send: (request, target, signal) => {
      const call: FakeCall = { request, target, signal, ended: false }
      calls.push(call)
      return Promise.resolve(answer(script, call, calls.length))
    },
  }
}

async function* answer(script: FakeScript, call: FakeCall, number: number): AsyncGenerator<StreamEvent> {
  try {
    yield* script(call, number)
  } finally {
    call.ended = true
  }
}
