/** The command line. `launch.js` starts this file under a Node that can run it. */

import { inspect } from 'node:util'
import { gatewayVersion } from './boot/packages.ts'
import { describeProblem, firstLine, StartupError } from './services/problems.ts'
import { didYouMean } from './services/spelling.ts'
import { check } from './cli/check.ts'
import type { Command } from './cli/command.ts'
import { parseCommand, UsageError } from './cli/command.ts'
import { config } from './cli/config.ts'
import { explain } from './cli/explain.ts'
import { commandHelp, overview } from './cli/help.ts'
import { init } from './cli/init.ts'
import { keys } from './cli/keys.ts'
import { newPackage } from './cli/new.ts'
import { plan } from './cli/plan.ts'
import { plugins } from './cli/plugins.ts'
import { reload } from './cli/reload.ts'
import { schema } from './cli/schema.ts'
import { serve } from './cli/serve.ts'

const commands: readonly Command[] = [
  serve,
  init,
  reload,
  check,
  plan,
  explain,
  plugins,
  schema,
  config,
  keys,
  newPackage,
]

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Runs one command line, without the program's name. Resolves to the exit code; never rejects. */
async function main(words: readonly string[]): Promise<number> {
  try {
    const [first, ...rest] = words
    if (first === '--version') {
      print(gatewayVersion())
      return 0
    }
    if (first === '--help' || first === '-h' || first === 'help') {
      print(rest[0] === undefined ? overview(commands) : commandHelp(find(rest[0])))
      return 0
    }
    const named = first !== undefined && !first.startsWith('-')
    const command = named ? find(first) : serve
    const { options, words: positionals } = parseCommand(command, named ? rest : words)
    if (options['help'] === true) {
      print(commandHelp(command))
      return 0
    }
    return await command.run({ options, words: positionals, environment: process.env, print, say })
  } catch (error) {
    return sayFailure(error)
  }
}

function find(name: string): Command {
  const command = commands.find((each) => each.name === name)
  if (command) return command
  const hint = didYouMean(
    name,
    commands.map((each) => each.name),
  )
  throw new UsageError(`unknown command "${name}"${hint === undefined ? '' : `. ${hint}`}`)
}

/** Says what went wrong in the words of the user's mistake, without a stack trace. */
function sayFailure(error: unknown): number {
  if (error instanceof UsageError) {
    say(`hadrian: ${error.message}`)
    say(`Run "hadrian ${error.command === undefined ? '' : `${error.command} `}--help" for usage.`)
    return 2
  }
  if (error instanceof StartupError) {
    for (const problem of error.problems) say(describeProblem(problem))
    if (error.problems.length > 1) say(`${error.problems.length} problems.`)
  } else say(`hadrian: unexpected error: ${firstLine(error)} (HADRIAN_DEBUG=1 shows where)`)
  if (process.env['HADRIAN_DEBUG'] === '1') say(inspect(error))
  return 1
}

// A reader that has seen enough (`hadrian plan | head`) is no error.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
const code = await main(process.argv.slice(2))
// What is left open by a plugin that does not stop must not keep a finished command from ending.
process.stdout.write('', () => process.stderr.write('', () => process.exit(process.exitCode ?? code)))
