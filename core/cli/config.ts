import type { Command } from './command.ts'
import { configOption } from './command.ts'
import { gatewayOptions } from './gateway-options.ts'

/** `hadrian config`. */
export const config: Command = {
  name: 'config',
  summary: 'Show the config in force, secrets hidden',
  usage: ['config [options]'],
  details:
    'Shows every value in force with where it came from: the file, an environment variable, or a default. Secrets are\n' +
    'shown as ***.',
  options: { config: configOption, json: { type: 'boolean', description: 'Print JSON' } },
  words: { least: 0, most: 0 },
  async run(input) {
    const { loadConfig } = await import('../boot/config.ts')
    const { effectiveConfig, effectiveTree, formatEffectiveConfig } = await import('../boot/effective-config.ts')
    const loaded = await loadConfig(gatewayOptions(input))
    const values = effectiveConfig(loaded)
    if (input.options['json'] === true) input.print(JSON.stringify(effectiveTree(values), null, 2))
    else input.print(`# ${loaded.file ?? 'no config file'}\n\n${formatEffectiveConfig(values)}`)
    return 0
  },
}
