import type { Command } from './command.ts'
import { configOption } from './command.ts'
import { gatewayOptions } from './gateway-options.ts'

/** `hadrian check`. */
export const check: Command = {
  name: 'check',
  summary: 'Check the config without starting',
  usage: ['check [options]'],
  details:
    'Reads the config, loads what it names, sets it up and compiles the plan. Prints every mistake, each with its path\n' +
    'and what to do. Opens no database and no port.',
  options: { config: configOption },
  words: { least: 0, most: 0 },
  async run(input) {
    const { createGateway } = await import('../boot/gateway.ts')
    const gateway = await createGateway({ ...gatewayOptions(input), purpose: 'inspect' })
    const { plan, loaded } = gateway
    await gateway.stop()
    for (const warning of plan.warnings) input.say(`Warning: ${warning}`)
    input.print(
      `${loaded.file ?? 'No config file'}: OK. Plugins: ${namesOf(plan.plugins.map(({ definition }) => definition.name))}. ` +
        `Providers: ${namesOf(loaded.providers.map(({ instance }) => instance))}.`,
    )
    return 0
  },
}

function namesOf(names: readonly string[]): string {
  return names.join(', ') || 'none'
}
