import { writeFileSync } from 'node:fs'
import { describeProblem } from '../services/problems.ts'
import type { Command } from './command.ts'
import { configOption, text } from './command.ts'

/** `hadrian schema`. */
export const schema: Command = {
  name: 'schema',
  summary: 'Print the JSON Schema of the config, for editors',
  usage: ['schema [options]'],
  details:
    'Prints one JSON Schema for hadrian.toml with the options of every installed plugin and provider, those that are off\n' +
    'too. It runs their code. Editors find it by a first line of the config: #:schema ./hadrian.schema.json',
  options: {
    config: configOption,
    output: { type: 'string', short: 'o', value: 'FILE', description: 'Write it to a file' },
  },
  words: { least: 0, most: 0 },
  async run(input) {
    const { editorSchema } = await import('../boot/editor-schema.ts')
    const { installedPackages } = await import('./installed.ts')
    const composed = await editorSchema(installedPackages(input))
    const file = text(input.options, 'output')
    const json = JSON.stringify(composed.schema, null, 2)
    if (file === undefined) input.print(json)
    else {
      writeFileSync(file, `${json}\n`)
      input.say(`Wrote ${file}`)
    }
    for (const problem of composed.problems) input.say(describeProblem(problem))
    return composed.problems.length === 0 ? 0 : 1
  },
}
