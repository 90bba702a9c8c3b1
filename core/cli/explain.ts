import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { controlSocketPath, isListening } from '../boot/control-socket.ts'
import { dataDirectory } from '../boot/data-directory.ts'
import type { JsonObject } from '../contract/canonical.ts'
import { asGatewayError, errorBody } from '../contract/errors.ts'
import { explainCall } from '../http/explain-route.ts'
import { localAdministrator } from '../http/identify.ts'
import { firstLine, StartupError } from '../services/problems.ts'
import type { Command, Input } from './command.ts'
import { configOption } from './command.ts'
import { callControlSocket } from './control-client.ts'
import type { ControlAnswer } from './control-client.ts'
import { explanationLines, refusalLines } from './explanation-text.ts'
import { gatewayOptions } from './gateway-options.ts'

/** `hadrian explain`. */
export const explain: Command = {
  name: 'explain',
  summary: 'Show what would become of a request, without sending it',
  usage: ['explain FILE [options]', 'explain - [options]'],
  details:
    'FILE is the JSON body of a chat completion ("messages"), a response ("input") or a completion ("prompt"); "-" is\n' +
    'standard input. Prints the targets that would be tried, in order, and what each would cost; what took others off the\n' +
    'list; the plugins that would run and what they say, and warnings. Nothing is sent, counted or charged.\n\n' +
    'Asks the running gateway of this data directory, as its operator, who may use every model. If none runs, the config\n' +
    'is set up for it and nothing is started: limits, prices and models that are kept in the database are not known then.\n' +
    'A request that would be refused is printed as its error, and the exit code is 1.',
  options: {
    config: configOption,
    dialect: {
      type: 'string',
      value: 'NAME',
      description: 'chat, responses, completions or embeddings, where the body does not tell it',
    },
    json: { type: 'boolean', description: 'Print JSON' },
  },
  words: { least: 1, most: 1 },
  async run(input) {
    const body = await readBody(input.words[0]!)
    const dialect = input.options['dialect'] as string | undefined
    const { status, body: answer } = await ask(input, body, dialect)
    const isExplained = status === 200
    if (input.options['json'] === true) input.print(JSON.stringify(answer, null, 2))
    else if (isExplained) for (const line of explanationLines(answer)) input.print(line)
    else for (const line of refusalLines(status, answer)) input.say(line)
    return isExplained ? 0 : 1
  },
}

/** @throws StartupError if there is nothing to read, or it is no JSON object */
async function readBody(file: string): Promise<JsonObject> {
  const place = file === '-' ? 'standard input' : file
  let content: string
  try {
    content = file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')
  } catch (error) {
    throw new StartupError([{ path: place, message: `cannot be read: ${firstLine(error)}` }])
  }
  let body: unknown
  try {
    body = JSON.parse(content)
  } catch (error) {
    throw new StartupError([{ path: place, message: `is not valid JSON: ${firstLine(error)}` }])
  }
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as JsonObject
  throw new StartupError([{ path: place, message: 'must be a JSON object' }])
}

async function ask(input: Input, body: JsonObject, dialect: string | undefined): Promise<ControlAnswer> {
  const socket = controlSocketPath(dataDirectory(undefined, input.environment))
  if (await isListening(socket)) {
    const query = dialect === undefined ? '' : `?dialect=${encodeURIComponent(dialect)}`
    return callControlSocket(socket, 'POST', `/api/v1/explain${query}`, body)
  }
  const { createGateway } = await import('../boot/gateway.ts')
  const gateway = await createGateway({ ...gatewayOptions(input), purpose: 'inspect' })
  const { signal } = new AbortController()
  try {
    const call = { body, dialect, principal: localAdministrator, signal }
    return { status: 200, body: await explainCall(gateway.pipeline, call) }
  } catch (error) {
    const failure = asGatewayError(error)
    return { status: failure.status, body: { error: errorBody(failure, crypto.randomUUID()) } }
  } finally {
    await gateway.stop()
  }
}
