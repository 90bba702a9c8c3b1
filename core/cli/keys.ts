import { valueAt } from '../boot/config-path.ts'
import { controlSocketPath, isListening } from '../boot/control-socket.ts'
import { dataDirectory } from '../boot/data-directory.ts'
import { StartupError } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'
import type { Command, Input } from './command.ts'
import { configOption, list, text, UsageError } from './command.ts'
import { callControlSocket } from './control-client.ts'
import type { ControlAnswer } from './control-client.ts'
import { gatewayOptions } from './gateway-options.ts'
import { table } from './table.ts'

const resource = '/admin/v1/api-keys'

type Call = (method: string, path: string, body?: object) => Promise<ControlAnswer>

/** `hadrian keys create | list | revoke`. */
export const keys: Command = {
  name: 'keys',
  summary: 'Create, list and revoke API keys',
  usage: ['keys create [options]', 'keys list [options]', 'keys revoke ID [options]'],
  details:
    'Works on the running gateway of this data directory, or on its database if none runs. "create" prints the key, and\n' +
    'nothing else, to standard output; it cannot be shown again.',
  options: {
    config: configOption,
    name: { type: 'string', short: 'n', value: 'NAME', description: 'create: name of the key' },
    scope: {
      type: 'string',
      multiple: true,
      value: 'SCOPE',
      description: 'create: what the key may do, such as chat, models, admin (may be repeated)',
    },
    model: {
      type: 'string',
      multiple: true,
      value: 'MODEL',
      description: 'create: model the key may use, or a prefix ending in * (may be repeated)',
    },
    expires: { type: 'string', value: 'TIME', description: 'create: ISO date, or a number with m, h or d from now' },
    json: { type: 'boolean', description: 'Print JSON' },
  },
  words: { least: 0, most: 2 },
  async run(input) {
    const [verb, id] = input.words
    const verbs = ['create', 'list', 'revoke']
    if (verb === undefined) throw new UsageError(`"keys" needs one of these words: ${verbs.join(', ')}`, 'keys')
    if (!verbs.includes(verb)) {
      const hint = didYouMean(verb, verbs)
      throw new UsageError(`unknown command "keys ${verb}"${hint === undefined ? '' : `. ${hint}`}`, 'keys')
    }
    if (verb === 'revoke' && id === undefined) throw new UsageError('"keys revoke" needs the id of a key', 'keys')
    if (verb !== 'revoke' && id !== undefined) throw new UsageError(`too many words: "${id}" is not expected`, 'keys')
    const creation = verb === 'create' ? creationOf(input) : undefined
    return withGateway(input, async (call) => {
      if (creation) return create(call, creation, input)
      return verb === 'list' ? show(call, input) : revoke(call, id!, input)
    })
  },
}

async function create(call: Call, body: object, input: Input): Promise<number> {
  const answer = expect(await call('POST', resource, body), 201)
  if (input.options['json'] === true) input.print(JSON.stringify(answer, null, 2))
  else {
    input.say(`Created key ${field(answer, 'id')}. It cannot be shown again:`)
    input.print(field(answer, 'key'))
  }
  return 0
}

async function show(call: Call, input: Input): Promise<number> {
  const all: unknown[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const answer = expect(
      await call('GET', `${resource}?limit=100${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`),
      200,
    )
    const page = valueAt(answer, ['data'])
    all.push(...(Array.isArray(page) ? page : []))
    const next = valueAt(answer, ['pagination', 'next_cursor'])
    cursor = typeof next === 'string' && next !== '' ? next : undefined
  }
  if (input.options['json'] === true) input.print(JSON.stringify(all, null, 2))
  else if (all.length === 0) input.say('There are no keys. "hadrian keys create" makes one.')
  else
    input.print(
      table(
        ['ID', 'NAME', 'KEY', 'CREATED', 'LAST USED', 'STATE'],
        all.map((key) => [
          field(key, 'id'),
          field(key, 'name'),
          field(key, 'key_prefix'),
          day(field(key, 'created_at')),
          day(field(key, 'last_used_at')),
          stateOf(key),
        ]),
      ),
    )
  return 0
}

async function revoke(call: Call, id: string, input: Input): Promise<number> {
  const answer = await call('DELETE', `${resource}/${encodeURIComponent(id)}`)
  if (answer.status === 404 && field(answer.body, 'error') !== '' && !isMissingRoute(answer)) {
    input.say(`There is no key "${id}". "hadrian keys list" shows them.`)
    return 1
  }
  expect(answer, 200)
  input.say(`Revoked key ${id}.`)
  return 0
}

/** What a request to make a key says, checked as far as a typing mistake goes. */
function creationOf({ options }: Input): object {
  const expires = text(options, 'expires')
  const scopes = list(options, 'scope')
  const models = list(options, 'model')
  const name = text(options, 'name')
  return {
    ...(name !== undefined && { name }),
    ...(scopes.length > 0 && { scopes }),
    ...(models.length > 0 && { allowed_models: models }),
    ...(expires !== undefined && { expires_at: expiry(expires) }),
  }
}

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

function expiry(value: string): string {
  const relative = /^(\d+)([mhd])$/.exec(value)
  const at = relative ? new Date(Date.now() + Number(relative[1]) * unitsMs[relative[2]!]!) : new Date(value)
  if (Number.isNaN(at.getTime()))
    throw new UsageError(`"${value}" is no time: write for instance 2030-01-31 or 90d`, 'keys')
  return at.toISOString()
}

/** Runs `work` against the running gateway, or against one that is started for it alone and does not listen. */
async function withGateway(input: Input, work: (call: Call) => Promise<number>): Promise<number> {
  const directory = dataDirectory(undefined, input.environment)
  const socket = controlSocketPath(directory)
  const call: Call = (method, path, body) => callControlSocket(socket, method, path, body)
  if (await isListening(socket)) return work(call)
  const { createGateway } = await import('../boot/gateway.ts')
  const gateway = await createGateway({
    ...gatewayOptions(input),
    environment: { ...input.environment, HADRIAN_LOG_LEVEL: input.environment['HADRIAN_LOG_LEVEL'] || 'warn' },
    dataDirectory: directory,
  })
  try {
    await gateway.start({ listen: false, control: true })
    return await work(call)
  } finally {
    await gateway.stop()
  }
}

/** The body of an answer with the status that means success. */
function expect(answer: ControlAnswer, status: number): unknown {
  if (answer.status === status || (answer.status >= 200 && answer.status < 300)) return answer.body
  if (isMissingRoute(answer))
    throw new StartupError([
      { path: 'plugins.auth', message: 'this gateway has no API keys: the plugin "auth" is off' },
    ])
  const message = valueAt(answer.body, ['error', 'message'])
  throw new StartupError([
    { path: '', message: typeof message === 'string' ? message : `the gateway answered with status ${answer.status}` },
  ])
}

function isMissingRoute({ status, body }: ControlAnswer): boolean {
  const message = valueAt(body, ['error', 'message'])
  return status === 404 && typeof message === 'string' && message.startsWith('No such path')
}

/** A field as text, empty if it is not there. */
function field(value: unknown, name: string): string {
  const found = valueAt(value, [name])
  if (found === undefined || found === null) return ''
  return typeof found === 'string' ? found : JSON.stringify(found)
}

function day(time: string): string {
  return time.replace(/T(\d\d:\d\d).*$/, ' $1')
}

function stateOf(key: unknown): string {
  if (field(key, 'revoked_at') !== '') return 'revoked'
  const expires = field(key, 'expires_at')
  if (expires === '') return 'active'
  return Date.parse(expires) <= Date.now() ? 'expired' : `until ${day(expires)}`
}
