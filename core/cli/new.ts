import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { coreDirectory } from '../boot/packages.ts'
import { StartupError } from '../services/problems.ts'
import type { Command } from './command.ts'
import { UsageError } from './command.ts'

/** `hadrian new`. */
export const newPackage: Command = {
  name: 'new',
  summary: 'Write a plugin or provider package that works, to change',
  usage: ['new plugin NAME [DIRECTORY]', 'new provider NAME [DIRECTORY]'],
  details:
    'Writes a package with source, tests and README that passes the suites of the testing kit. Default directory:\n' +
    './hadrian-plugin-NAME or ./hadrian-provider-NAME.',
  options: {},
  words: { least: 2, most: 3 },
  async run(input) {
    const [kind, name = ''] = input.words
    if (kind !== 'plugin' && kind !== 'provider')
      throw new UsageError(`"${kind}" is neither "plugin" nor "provider"`, 'new')
    if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name))
      throw new UsageError(`"${name}" is no name for a package: lower-case letters, digits and single hyphens`, 'new')
    const shown = input.words[2] ?? `hadrian-${kind}-${name}`
    const directory = resolve(shown)
    if (existsSync(directory) && readdirSync(directory).length > 0)
      throw new StartupError([{ path: shown, message: 'exists and is not empty', hint: 'Give another directory.' }])
    const { discoverPackages } = await import('../boot/discover.ts')
    const taken = discoverPackages({ directory: process.cwd() }).packages.some(
      (each) => each.kind === kind && each.name === name,
    )
    if (taken)
      throw new StartupError([{ path: name, message: `a ${kind} of this name is installed`, hint: 'Take another.' }])
    const { packageTemplate } = await import('./package-template.ts')
    const isSource = existsSync(join(coreDirectory, 'cli.ts'))
    const files = packageTemplate({ kind, name, directory, isSource })
    for (const [file, text] of Object.entries(files)) {
      const path = join(directory, file)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text)
    }
    input.print(`Wrote ${Object.keys(files).length} files to ${shown}.

Next:

  cd ${shown}
  npm install
  npm test
  npm run build

Then name it in hadrian.toml:

  [packages]
  paths = ["${shown}"]

  [${kind}s.${name}]${kind === 'provider' ? '\n  api_key = "..."\n  base_url = "https://api.example.com/v1"' : ''}
`)
    return 0
  },
}
