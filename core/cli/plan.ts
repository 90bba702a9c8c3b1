import type { Command } from './command.ts'
import { configOption } from './command.ts'
import { gatewayOptions } from './gateway-options.ts'
import { table } from './table.ts'

/** `hadrian plan`. */
export const plan: Command = {
  name: 'plan',
  summary: 'Show what will run, in what order and why',
  usage: ['plan [options]'],
  details:
    'Shows every hook that a plugin has, in the order a request meets them, with the plugins that run there and what put\n' +
    'them in their place. Opens no database and no port.',
  options: { config: configOption, json: { type: 'boolean', description: 'Print JSON' } },
  words: { least: 0, most: 0 },
  async run(input) {
    const { createGateway } = await import('../boot/gateway.ts')
    const gateway = await createGateway({ ...gatewayOptions(input), purpose: 'inspect' })
    const { rows, warnings } = gateway.plan
    await gateway.stop()
    if (input.options['json'] === true) {
      input.print(JSON.stringify({ rows, warnings }, null, 2))
      return 0
    }
    // The hook's name once per group, so that the groups show.
    const cells = rows.map(({ hook, position, plugin, why }, index) => [
      rows[index - 1]?.hook === hook ? '' : hook,
      String(position),
      plugin,
      why,
    ])
    input.print(table(['HOOK', '#', 'PLUGIN', 'WHY'], cells))
    for (const warning of warnings) input.say(`Warning: ${warning}`)
    return 0
  },
}
