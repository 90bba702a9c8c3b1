import type { PluginDefinition } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import type { Gateway } from '../../core/index.ts'
import { FakeClock, fakeProvider } from '../../core/testing/index.ts'
import type { FakeProvider, LogLine } from '../../core/testing/index.ts'
import { recordingLogger, withoutDefaults } from './boot-fixtures.ts'

export interface Listening extends AsyncDisposable {
  readonly gateway: Gateway
  readonly clock: FakeClock
  readonly log: readonly LogLine[]
  post(body: string | object, headers?: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Response>
}

/** A gateway on a port of its own, with these plugins and nothing else. */
export async function listening(
  plugins: readonly PluginDefinition[],
  config: object = {},
  provider: FakeProvider = fakeProvider(),
): Promise<Listening> {
  const clock = new FakeClock()
  const logger = recordingLogger()
  const gateway = await createGateway({
    environment: {},
    config: {
      server: { host: '127.0.0.1', port: 0, shutdown_timeout_ms: 100, ...config },
      routing: { default_provider: 'fake' },
      plugins: withoutDefaults,
    },
    overrides: {
      clock,
      logger,
      plugins: plugins.map((definition) => [definition]),
      providers: [[provider.definition]],
    },
  })
  const { url } = await gateway.start()
  return {
    gateway,
    clock,
    log: logger.entries as unknown as LogLine[],
    post: (body, headers = {}, signal) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', connection: 'close', ...headers },
        signal: signal ?? null,
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    [Symbol.asyncDispose]: () => gateway.stop(),
  }
}
