import type { Gateway } from '../boot/gateway.ts'
import type { Command, Input } from './command.ts'
import { configOption } from './command.ts'
import { gatewayOptions } from './gateway-options.ts'
import { listenToSignals } from './signals.ts'
import { releaseStartupMemory } from './startup-memory.ts'

/** What a plugin provides as `bootstrap-key`: a way in for an operator who has none yet. */
export interface BootstrapKey {
  /** Makes a key if there is none at all. Resolves to its secret, only that first time. */
  createFirstKey(): Promise<string | undefined>
}

/** `hadrian serve`, which is also what `hadrian` alone does. */
export const serve: Command = {
  name: 'serve',
  summary: 'Start the gateway (the default)',
  usage: ['[serve] [options]'],
  details:
    'Starts the gateway. Without a config file it listens on 127.0.0.1:8080, uses an embedded database in the data\n' +
    'directory, the default plugins, and every provider whose key is in the environment. The first start prints an API\n' +
    'key, once. SIGTERM and Ctrl-C let open requests end; a second one ends at once. SIGHUP reads the config again, as\n' +
    '"hadrian reload" does.',
  options: { config: configOption },
  words: { least: 0, most: 0 },
  async run(input) {
    const { createGateway } = await import('../boot/gateway.ts')
    const { stopping, onReload } = listenToSignals(input)
    const gateway = await createGateway({ ...gatewayOptions(input), onProgress: (step) => input.print(`${step} ...`) })
    for (const warning of gateway.plan.warnings) gateway.logger.warn({}, warning)
    guardProcess(gateway)
    // What comes of it stands in the log.
    onReload(() => void gateway.reload().catch(() => undefined))
    const started = gateway.start({ control: true })
    try {
      const first = await Promise.race([started, stopping])
      if (first !== 'signalled') {
        announce(gateway, first.url!, input)
        await printFirstKey(gateway, first.url!, input)
        releaseStartupMemory()
        await stopping
      }
    } finally {
      started.catch(() => undefined)
      await gateway.stop()
    }
    return 0
  },
}

/** A stray failure of one plugin must not take everybody's requests down. */
function guardProcess({ logger }: Gateway): void {
  process.on('unhandledRejection', (error) => logger.error({ error }, 'unhandled rejection'))
  process.on('uncaughtException', (error) => {
    logger.error({ error }, 'uncaught exception')
    process.exitCode = 1
    process.kill(process.pid, 'SIGTERM')
  })
}

function announce({ loaded, version, dataDirectory, plan }: Gateway, url: string, { print }: Input): void {
  print(`Hadrian ${version} listens on ${url}`)
  print(`  Config     ${loaded.file ?? 'none (no hadrian.toml here; everything has a default)'}`)
  print(`  Data       ${dataDirectory}`)
  print(`  Providers  ${loaded.providers.map(({ instance }) => instance).join(', ') || 'none'}`)
  print(`  Plugins    ${plan.plugins.map(({ definition }) => definition.name).join(', ') || 'none'}`)
}

/** Shows the first key once, on stdout and never in the log. */
async function printFirstKey(gateway: Gateway, url: string, { print }: Input): Promise<void> {
  const bootstrap = gateway.services.get('bootstrap-key') as BootstrapKey | undefined
  const key = await bootstrap?.createFirstKey()
  if (key === undefined) return
  print('')
  print('Your first API key. It is shown this once:')
  print('')
  print(`  ${key}`)
  print('')
  print('Try it:')
  print('')
  print(`  curl ${reachable(url)}/api/v1/chat/completions \\`)
  print(`    -H "Authorization: Bearer ${key}" \\`)
  print(`    -H "Content-Type: application/json" \\`)
  print(`    -d '{"model": "${exampleModel(gateway)}", "messages": [{"role": "user", "content": "Hello"}]}'`)
  print('')
}

/** An address that listens on all interfaces cannot be called under that name. */
function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//localhost:')
}

function exampleModel({ loaded }: Gateway): string {
  const test = loaded.providers.find(({ definition }) => definition.name === 'test')
  if (test) return `${test.instance}/echo`
  return loaded.config.routing.default_model ?? Object.keys(loaded.config.models)[0] ?? 'PROVIDER/MODEL'
}
