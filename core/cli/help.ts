import type { Command, Option } from './command.ts'
import { commonOptions } from './command.ts'

/** What `hadrian --help` prints. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return [
    'Usage: hadrian [command] [options]',
    '',
    'A self-hosted gateway: one OpenAI-compatible API in front of every model provider.',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Options:',
    '  -h, --help     Show this help, or that of a command',
    '      --version  Show the version',
    '',
    'Environment:',
    '  HADRIAN_CONFIG     Config file',
    '  HADRIAN_DATA_DIR   Data directory (default: ~/.local/share/hadrian)',
    '  HADRIAN_LOG_LEVEL  debug, info, warn, error or silent',
    '  HADRIAN_DEBUG=1    Show stack traces of unexpected errors',
    '  HOST, PORT         Address to listen on',
    '  DATABASE_URL       PostgreSQL to use in place of the embedded database',
    '',
    'Exit codes: 0 done, 1 failed (config, start or command), 2 wrong usage.',
  ].join('\n')
}

/** What `hadrian COMMAND --help` prints. */
export function commandHelp(command: Command): string {
  const options = Object.entries({ ...command.options, ...commonOptions })
  const left = options.map(([name, option]) => leftColumn(name, option))
  const width = Math.max(...left.map((cell) => cell.length))
  return [
    ...command.usage.map((line, index) => `${index === 0 ? 'Usage:' : '      '} hadrian ${line}`),
    '',
    command.details,
    '',
    'Options:',
    ...options.map(([, { description }], index) => `  ${left[index]!.padEnd(width)}  ${description}`),
  ].join('\n')
}

function leftColumn(name: string, { short, value }: Option): string {
  return `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`
}
