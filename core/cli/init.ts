import { existsSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describeProblem, StartupError } from '../services/problems.ts'
import type { Command } from './command.ts'

const schemaFile = 'hadrian.schema.json'

/** `hadrian init`. */
export const init: Command = {
  name: 'init',
  summary: 'Write a config with every option explained',
  usage: ['init [FILE] [options]'],
  details:
    'Writes hadrian.toml (or FILE) with every option of everything installed, commented out where it only shows the\n' +
    'default, and beside it the schema by which editors check it. Providers whose keys are in the environment are on.',
  options: { force: { type: 'boolean', description: 'Overwrite a config that exists' } },
  words: { least: 0, most: 1 },
  async run(input) {
    const [file = 'hadrian.toml'] = input.words
    if (existsSync(file) && input.options['force'] !== true)
      throw new StartupError([
        { path: file, message: 'exists already', hint: 'Give another name, or --force to overwrite it.' },
      ])
    const { editorSchema } = await import('../boot/editor-schema.ts')
    const { discoverPackages } = await import('../boot/discover.ts')
    const { defaultPlugins, onRequestPlugins } = await import('../boot/selection.ts')
    const { configTemplate } = await import('./config-template.ts')
    const directory = dirname(file)
    const { schema, providers, problems } = await editorSchema(discoverPackages({ directory }).packages)
    const { environment } = input
    const written = configTemplate({ schema, providers, defaultPlugins, onRequestPlugins, environment, schemaFile })
    try {
      writeFileSync(file, written)
      writeFileSync(join(directory, schemaFile), `${JSON.stringify(schema, null, 2)}\n`)
    } catch (error) {
      throw new StartupError([{ path: file, message: `cannot be written: ${(error as Error).message}` }])
    }
    for (const problem of problems) input.say(describeProblem(problem))
    input.print(`Wrote ${resolve(file)} and ${schemaFile} beside it.`)
    input.print('Next: "hadrian check" after you have edited it, then "hadrian serve".')
    return 0
  },
}
