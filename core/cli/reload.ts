import { valueAt } from '../boot/config-path.ts'
import { controlSocketPath, isListening } from '../boot/control-socket.ts'
import { dataDirectory } from '../boot/data-directory.ts'
import { StartupError } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import type { Command } from './command.ts'
import { callControlSocket } from './control-client.ts'

/** Plugins that are new may have tables to make. */
const timeoutMs = 600_000

/** `hadrian reload`. */
export const reload: Command = {
  name: 'reload',
  summary: 'Make the running gateway read its config again',
  usage: ['reload [options]'],
  details:
    'The running gateway of this data directory reads its config file again, sets everything up and puts it in force for\n' +
    'new requests; open ones end on the config they began with. A config with mistakes changes nothing: they are printed,\n' +
    'and the exit code is 1. SIGHUP does the same, and reports in the log. The address to listen on, the database,\n' +
    'telemetry, environment variables and the code of packages need a restart.',
  options: { json: { type: 'boolean', description: 'Print JSON' } },
  words: { least: 0, most: 0 },
  async run(input) {
    const directory = dataDirectory(undefined, input.environment)
    const socket = controlSocketPath(directory)
    if (!(await isListening(socket)))
      throw new StartupError([
        {
          path: directory,
          message: 'no gateway with this data directory runs',
          hint: 'Start one with "hadrian serve", or set HADRIAN_DATA_DIR to the directory of the one you mean.',
        },
      ])
    const { status, body } = await callControlSocket(socket, 'POST', '/admin/v1/reload', undefined, timeoutMs)
    if (status !== 200) throw new StartupError(problemsOf(status, body))
    if (input.options['json'] === true) {
      input.print(JSON.stringify(body, null, 2))
      return 0
    }
    for (const warning of texts(valueAt(body, ['warnings']))) input.say(`Warning: ${warning}`)
    const changed = texts(valueAt(body, ['changed']))
    input.print(
      `Reloaded; this is generation ${String(valueAt(body, ['generation']))} of the config. ` +
        `Changed: ${changed.join(', ') || 'nothing'}.`,
    )
    return 0
  },
}

/** Every mistake of the config, or why the gateway did not even look. */
function problemsOf(status: number, body: unknown): readonly Problem[] {
  const errors = valueAt(body, ['error', 'details', 'errors'])
  if (Array.isArray(errors)) return errors as readonly Problem[]
  const message = valueAt(body, ['error', 'message'])
  return [{ path: '', message: typeof message === 'string' ? message : `the gateway answered with status ${status}` }]
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}
