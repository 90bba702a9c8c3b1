import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { jsonReply } from '../../core/contract/plugin.ts'
import type { Hooks, PluginDefinition, Services } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import type { Gateway, GatewayOptions } from '../../core/index.ts'
import { fakeProvider } from '../../core/testing/index.ts'
import type { FakeProvider } from '../../core/testing/index.ts'
import { directoryWith, recordingLogger, withoutDefaultsToml } from './boot-fixtures.ts'

/** A gateway whose config is a file that a test rewrites. */
export interface Reloadable {
  readonly gateway: Gateway
  readonly url: string
  readonly file: string
  readonly directory: string
  readonly log: readonly { readonly level: string; readonly fields: object; readonly message: string }[]
  /** Writes the file: this TOML, and all default plugins off. */
  write(toml: string): void
  /** A chat completion; the body is whatever came. */
  chat(init?: { readonly stream?: boolean }, body?: object): Promise<Response>
  admin(method: string, path: string): Promise<Response>
}

/** Starts one, with these plugins installed: the file names those that are on. */
export async function reloadable(
  context: Pick<TestContext, 'after'>,
  setup: {
    readonly toml?: string
    readonly plugins?: readonly PluginDefinition[]
    readonly provider?: FakeProvider
    readonly overrides?: GatewayOptions['overrides']
    readonly environment?: Readonly<Record<string, string>>
    /** False: the test starts it. */
    readonly start?: boolean
  } = {},
): Promise<Reloadable> {
  const provider = setup.provider ?? fakeProvider()
  const directory = directoryWith(context as TestContext, {})
  const file = join(directory, 'hadrian.toml')
  const write = (toml: string): void => writeFileSync(file, toml + withoutDefaultsToml)
  write(setup.toml ?? '')
  const logger = recordingLogger()
  const gateway = await createGateway({
    environment: { PORT: '0', ...setup.environment },
    workingDirectory: directory,
    dataDirectory: join(directory, 'data'),
    overrides: {
      logger,
      providers: [[provider.definition]],
      ...setup.overrides,
      plugins: [doorkeeper, ...(setup.plugins ?? [])].map((definition) => [definition]),
    },
  })
  context.after(() => gateway.stop())
  const { url = '' } = setup.start === false ? {} : await gateway.start()
  return {
    gateway,
    url,
    file,
    directory,
    log: logger.entries,
    write,
    chat: ({ stream = false } = {}, body = {}) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'fake/fake-model',
          stream,
          messages: [{ role: 'user', content: 'Hello' }],
          ...body,
        }),
      }),
    admin: (method, path) => fetch(url + path, { method, headers: { authorization: 'Bearer admin' } }),
  }
}

/** Lets everybody in; who says `admin` is one. */
const doorkeeper: PluginDefinition = {
  name: 'doorkeeper',
  api: 1,
  options: { type: 'object' },
  setup: () => ({
    authenticate: (call) =>
      call.identify({
        id: 'caller',
        scopes: call.headers['authorization'] === 'Bearer admin' ? ['admin'] : ['chat', 'models'],
      }),
  }),
}

/** What happened to the instances of a {@link tagged} plugin, as `2 start new`. */
export type Diary = string[]

/**
 * A plugin with the option `tag`, which says what becomes of each of its instances, and shows its tag at `GET /NAME`.
 */
export function tagged(
  name: string,
  diary: Diary = [],
  hooks: (services: Services & { readonly options: { readonly tag: string } }, instance: number) => Hooks = () => ({}),
  parts: Partial<PluginDefinition> = {},
): PluginDefinition {
  let instances = 0
  return {
    name,
    api: 1,
    options: {
      type: 'object',
      additionalProperties: false,
      properties: {
        tag: { type: 'string', default: 'none' },
        secret: { type: 'string', writeOnly: true, description: 'Never shown.' },
      },
    },
    setup(services) {
      const own = services as typeof services & { readonly options: { readonly tag: string } }
      const { tag } = own.options
      const instance = ++instances
      return {
        start: () => void diary.push(`${instance} start ${tag}`),
        stop: () => void diary.push(`${instance} stop ${tag}`),
        settle: (_, { status }) => void diary.push(`${instance} settle ${tag} ${status}`),
        routes: [{ method: 'GET', path: `/${name}`, scope: null, handle: () => jsonReply({ tag, instance }) }],
        ...hooks(own, instance),
      }
    },
    ...parts,
  }
}
