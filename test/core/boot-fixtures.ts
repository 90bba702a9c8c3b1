import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { defaultPlugins, onRequestPlugins } from '../../core/boot/selection.ts'
import type { Clock, Logger } from '../../core/contract/plugin.ts'
import { StartupError } from '../../core/services/problems.ts'
import type { Problem } from '../../core/services/problems.ts'

/** Plugins that are on without being named, but for the one on request that the tests look at. */
export const unwantedPlugins: readonly string[] = [
  ...defaultPlugins,
  ...onRequestPlugins.filter((name) => name !== 'response-healing'),
]

/** The section `plugins` of a config that has none of the default plugins on. */
export const withoutDefaults: Readonly<Record<string, { readonly enabled: false }>> = Object.fromEntries(
  unwantedPlugins.map((name) => [name, { enabled: false }]),
)

/** The same as TOML. */
export const withoutDefaultsToml = unwantedPlugins.map((name) => `[plugins.${name}]\nenabled = false\n`).join('')

/** A directory of its own for one test, with these files in it. */
export function directoryWith(context: TestContext, files: Readonly<Record<string, string | object>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'hadrian-test-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  for (const [path, content] of Object.entries(files)) {
    const file = join(directory, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
  return directory
}

/** The package.json and code of a package of one plugin or provider. */
export function packageFiles(
  at: string,
  hadrian: { kind: string; name: string; api: number },
  body: { readonly code?: string; readonly package?: object } = {},
): Record<string, string | object> {
  return {
    [`${at}/package.json`]: {
      name: `package-of-${hadrian.name}`,
      version: '1.2.3',
      type: 'module',
      exports: './index.js',
      hadrian,
      ...body.package,
    },
    [`${at}/index.js`]:
      body.code ?? `export default { name: '${hadrian.name}', api: 1, options: { type: 'object' }, setup: () => ({}) }`,
  }
}

/** A workspace with a core of its own, the default plugins and the `test` provider, none of which does anything. */
export function workspaceFiles(extra: Readonly<Record<string, string | object>> = {}): Record<string, string | object> {
  const plugin = (name: string, code?: string): Record<string, string | object> =>
    packageFiles(`plugins/${name}`, { kind: 'plugin', name, api: 1 }, code === undefined ? {} : { code })
  return {
    'package.json': { name: 'workspace', workspaces: ['core', 'plugins/*', 'providers/*'] },
    'core/package.json': { name: '@hadrian/core', type: 'module', exports: { './plugin': './plugin.js' } },
    'core/plugin.js': 'export const definePlugin = (definition) => definition',
    ...Object.fromEntries(unwantedPlugins.flatMap((name) => Object.entries(plugin(name)))),
    ...plugin(
      'response-healing',
      `export default { name: 'response-healing', api: 1, options: { type: 'object' },
        params: { type: 'object', properties: { strict: { type: 'boolean' } } }, setup: () => ({}) }`,
    ),
    ...plugin(
      'limiter',
      `export default { name: 'limiter', api: 1, setup: () => ({}), options: { type: 'object', properties: {
        requests_per_minute: { type: 'integer', minimum: 1, default: 600 },
        token: { type: 'string', writeOnly: true },
        mode: { enum: ['strict', 'loose'], default: 'strict' } } } }`,
    ),
    ...packageFiles(
      'providers/test',
      { kind: 'provider', name: 'test', api: 1 },
      {
        code: `export default { name: 'test', api: 1, options: { type: 'object' }, setup: () => ({}),
          defaults: [{ instance: 'test', environment: {} }] }`,
      },
    ),
    ...packageFiles(
      'providers/openai',
      { kind: 'provider', name: 'openai', api: 1 },
      {
        code: `export default { name: 'openai', api: 1, setup: () => ({}),
          options: { type: 'object', required: ['api_key'], properties: {
            api_key: { type: 'string', writeOnly: true }, base_url: { type: 'string' } } },
          defaults: [
            { instance: 'openai', environment: { OPENAI_API_KEY: 'api_key' } },
            { instance: 'groq', environment: { GROQ_API_KEY: 'api_key' }, options: { base_url: 'https://groq.test' } },
          ] }`,
      },
    ),
    ...extra,
  }
}

/** The problems a promise is rejected with. Anything else fails the test. */
export async function problemsOf(work: Promise<unknown>): Promise<readonly Problem[]> {
  try {
    await work
  } catch (error) {
    if (error instanceof StartupError) return error.problems
    throw error
  }
  throw new Error('nothing was wrong')
}

/** Problems as `path: message (hint)` lines, easy to compare. */
export function lines(problems: readonly Problem[]): string[] {
  return problems.map(({ path, message, hint }) => `${path}: ${message}${hint === undefined ? '' : ` (${hint})`}`)
}

/** A clock that stands still until `advance` is called. */
export function manualClock(): Clock & { advance(ms: number): void } {
  let now = 0
  const timers = new Set<{ at: number; callback: () => void }>()
  return {
    now: () => now,
    monotonicMs: () => now,
    after(delayMs, callback) {
      const timer = { at: now + delayMs, callback }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    advance(ms) {
      now += ms
      for (const timer of [...timers].filter(({ at }) => at <= now)) {
        timers.delete(timer)
        timer.callback()
      }
    },
  }
}

/** A logger that keeps what it was told. */
export function recordingLogger(): Logger & { readonly entries: { level: string; fields: object; message: string }[] } {
  const entries: { level: string; fields: object; message: string }[] = []
  const at =
    (level: string) =>
    (fields: object, message: string): void =>
      void entries.push({ level, fields, message })
  return { entries, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
