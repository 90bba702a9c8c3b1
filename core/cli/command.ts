import { parseArgs } from 'node:util'
import { didYouMean } from '../services/spelling.ts'

/** An option of a command, as `parseArgs` takes it, and what `--help` says about it. */
export interface Option {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: boolean
  /** Stands for the value in `--help`: `FILE`. */
  readonly value?: string
  readonly description: string
}

/** What a command works with. */
export interface Input {
  readonly options: Readonly<Record<string, string | boolean | readonly string[] | undefined>>
  readonly words: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Writes a line of the command's result to stdout. */
  readonly print: (line: string) => void
  /** Writes a line about the work to stderr. */
  readonly say: (line: string) => void
}

/** One verb of the command line. */
export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What follows `hadrian` on the usage lines of its help. */
  readonly usage: readonly string[]
  /** Paragraphs for its help. */
  readonly details: string
  readonly options: Readonly<Record<string, Option>>
  /** How many words it takes besides options. */
  readonly words: { readonly least: number; readonly most: number }
  /** Resolves to the exit code. */
  run(input: Input): Promise<number>
}

/** A command line that makes no sense: one message, exit code 2. */
export class UsageError extends Error {
  /** The command whose help explains it. */
  readonly command: string | undefined

  constructor(message: string, command?: string) {
    super(message)
    this.name = 'UsageError'
    this.command = command
  }
}

/** Options every command has. */
export const commonOptions: Readonly<Record<string, Option>> = {
  help: { type: 'boolean', short: 'h', description: 'Show this help' },
}

/** The option of every command that reads the config. */
export const configOption: Option = {
  type: 'string',
  short: 'c',
  value: 'FILE',
  description: 'Config file (default: HADRIAN_CONFIG, then ./hadrian.toml if it exists)',
}

/**
 * Parses what follows the command's name.
 * @throws UsageError for unknown options, missing values, and too few or too many words
 */
export function parseCommand(command: Command, parts: readonly string[]): Pick<Input, 'options' | 'words'> {
  const known = { ...command.options, ...commonOptions }
  let parsed
  try {
    parsed = parseArgs({
      args: [...parts],
      options: Object.fromEntries(
        Object.entries(known).map(([name, { type, short, multiple = false }]) => [
          name,
          { type, multiple, ...(short !== undefined && { short }) },
        ]),
      ),
      allowPositionals: true,
      strict: true,
    })
  } catch (error) {
    throw new UsageError(explain(error as Error, Object.keys(known)), command.name)
  }
  const { values, positionals } = parsed
  if (values['help'] !== true) {
    if (positionals.length > command.words.most)
      throw new UsageError(`too many words: "${positionals[command.words.most]!}" is not expected`, command.name)
    if (positionals.length < command.words.least)
      throw new UsageError(`"${command.name}" needs more words: ${command.usage.join(', or ')}`, command.name)
  }
  return { options: values as Input['options'], words: positionals }
}

function explain(error: Error, known: readonly string[]): string {
  const unknown = /Unknown option '(-+)([^']+)'/.exec(error.message)
  if (!unknown) return error.message.split('. ')[0]!.replace(/^Option /, 'option ')
  const hint = didYouMean(unknown[2]!, known)?.replace('"', '"--')
  return `unknown option "${unknown[1]!}${unknown[2]!}"${hint === undefined ? '' : `. ${hint}`}`
}

/** The value of a string option. */
export function text(options: Input['options'], name: string): string | undefined {
  const value = options[name]
  return typeof value === 'string' ? value : undefined
}

/** The values of an option that may be given several times. */
export function list(options: Input['options'], name: string): readonly string[] {
  const value = options[name]
  return Array.isArray(value) ? value : []
}
