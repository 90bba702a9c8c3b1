import { valueAt } from '../boot/config-path.ts'
import { didYouMean } from '../services/spelling.ts'
import type { Command, Input } from './command.ts'
import { configOption, UsageError } from './command.ts'
import type { ControlAnswer } from './control-client.ts'
import { expectStatus, isMissingRoute, withGateway } from './gateway-call.ts'
import type { Call } from './gateway-call.ts'
import { creationBody, listQuery, rotationBody } from './key-requests.ts'
import { table } from './table.ts'

const resource = '/admin/v1/api-keys'

interface Verb {
  /** Whether it works on one key, whose id follows it. */
  readonly ofOne: boolean
  readonly run: (call: Call, input: Input, id: string) => Promise<number>
}

const verbs: Readonly<Record<string, Verb>> = {
  create: { ofOne: false, run: (call, input) => create(call, creationBody(input), input) },
  list: { ofOne: false, run: (call, input) => list(call, listQuery(input), input) },
  show: { ofOne: true, run: show },
  rotate: { ofOne: true, run: rotate },
  revoke: { ofOne: true, run: revoke },
}

/** `hadrian keys create | list | show | rotate | revoke`. */
export const keys: Command = {
  name: 'keys',
  summary: 'Create, list, show, rotate and revoke API keys',
  usage: [
    'keys create [options]',
    'keys list [options]',
    'keys show ID [options]',
    'keys rotate ID [options]',
    'keys revoke ID [options]',
  ],
  details:
    'Works on the running gateway of this data directory, or on its database if none runs. "create" and "rotate" print\n' +
    'the key, and nothing else, to standard output; it cannot be shown again.',
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
    owner: {
      type: 'string',
      value: 'TYPE:ID',
      description: 'create, list: whose key, such as project:ID; organization, team, user, service_account likewise',
    },
    ip: {
      type: 'string',
      multiple: true,
      value: 'ADDRESS',
      description: 'create: address or range the key may be used from (may be repeated)',
    },
    budget: {
      type: 'string',
      multiple: true,
      value: 'PERIOD=DOLLARS',
      description: 'create: money it may spend, such as monthly=100; daily, weekly, total likewise (may be repeated)',
    },
    limit: {
      type: 'string',
      multiple: true,
      value: 'LIMIT=NUMBER',
      description: 'create: traffic, such as requests_per_minute=60 or tokens_per_day=1000000 (may be repeated)',
    },
    active: { type: 'boolean', description: 'list: without revoked keys' },
    grace: {
      type: 'string',
      value: 'TIME',
      description: 'rotate: how long the key of until now goes on: a number with s, m, h or d (default 24h)',
    },
    json: { type: 'boolean', description: 'Print JSON' },
  },
  words: { least: 0, most: 2 },
  async run(input) {
    const [name, id] = input.words
    const names = Object.keys(verbs)
    if (name === undefined) throw new UsageError(`"keys" needs one of these words: ${names.join(', ')}`, 'keys')
    const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined
    if (!verb) {
      const hint = didYouMean(name, names)
      throw new UsageError(`unknown command "keys ${name}"${hint === undefined ? '' : `. ${hint}`}`, 'keys')
    }
    if (verb.ofOne && id === undefined) throw new UsageError(`"keys ${name}" needs the id of a key`, 'keys')
    if (!verb.ofOne && id !== undefined) throw new UsageError(`too many words: "${id}" is not expected`, 'keys')
    checkOptions(input)
    return withGateway(input, (call) => verb.run(call, input, id ?? ''))
  },
}

/** Before a gateway is started for the command: mistakes of typing cost no time. */
function checkOptions(input: Input): void {
  creationBody(input)
  listQuery(input)
  rotationBody(input)
}

async function create(call: Call, body: object, input: Input): Promise<number> {
  const answer = expectStatus(await call('POST', resource, body), 201)
  if (input.options['json'] === true) input.print(JSON.stringify(answer, null, 2))
  else {
    input.say(`Created key ${field(answer, 'id')}. It cannot be shown again:`)
    input.print(field(answer, 'key'))
  }
  return 0
}

async function list(call: Call, query: Readonly<Record<string, string>>, input: Input): Promise<number> {
  const all: unknown[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const parameters = new URLSearchParams({ limit: '100', ...query, ...(cursor !== '' && { cursor }) })
    const answer = expectStatus(await call('GET', `${resource}?${parameters.toString()}`), 200)
    const page = valueAt(answer, ['data'])
    all.push(...(Array.isArray(page) ? page : []))
    const next = valueAt(answer, ['pagination', 'next_cursor'])
    cursor = typeof next === 'string' && next !== '' ? next : undefined
  }
  if (input.options['json'] === true) input.print(JSON.stringify(all, null, 2))
  else if (all.length === 0) input.say('There are no keys. "hadrian keys create" makes one.')
  else {
    const areOwned = all.some((key) => ownerOf(key) !== '')
    input.print(
      table(
        ['ID', 'NAME', 'KEY', 'CREATED', 'LAST USED', 'STATE', ...(areOwned ? ['OWNER'] : [])],
        all.map((key) => [
          field(key, 'id'),
          field(key, 'name'),
          field(key, 'key_prefix'),
          day(field(key, 'created_at')),
          day(field(key, 'last_used_at')),
          stateOf(key),
          ...(areOwned ? [ownerOf(key)] : []),
        ]),
      ),
    )
  }
  return 0
}

async function show(call: Call, input: Input, id: string): Promise<number> {
  const answer = await call('GET', pathOf(id))
  if (isUnknown(answer)) return sayUnknown(id, input)
  const key = expectStatus(answer, 200)
  if (input.options['json'] === true) input.print(JSON.stringify(key, null, 2))
  else {
    const names = typeof key === 'object' && key !== null ? Object.keys(key) : []
    const shown = names.filter((name) => field(key, name) !== '' && field(key, name) !== '[]')
    input.print(
      table(
        ['FIELD', 'VALUE'],
        shown.map((name) => [name, name === 'owner' ? ownerOf(key) : field(key, name)]),
      ),
    )
  }
  return 0
}

async function rotate(call: Call, input: Input, id: string): Promise<number> {
  const answer = await call('POST', `${pathOf(id)}/rotate`, rotationBody(input))
  if (isUnknown(answer)) return sayUnknown(id, input)
  const rotated = expectStatus(answer, 201)
  if (input.options['json'] === true) input.print(JSON.stringify(rotated, null, 2))
  else {
    const previous = valueAt(rotated, ['previous_keys'])
    const until = Array.isArray(previous) ? field(previous.at(-1), 'valid_until') : ''
    input.say(`Rotated key ${id}. The key of until now works until ${day(until)}. The new one cannot be shown again:`)
    input.print(field(rotated, 'key'))
  }
  return 0
}

async function revoke(call: Call, input: Input, id: string): Promise<number> {
  const answer = await call('DELETE', pathOf(id))
  if (isUnknown(answer)) return sayUnknown(id, input)
  expectStatus(answer, 200)
  input.say(`Revoked key ${id}.`)
  return 0
}

function pathOf(id: string): string {
  return `${resource}/${encodeURIComponent(id)}`
}

function isUnknown(answer: ControlAnswer): boolean {
  return answer.status === 404 && field(answer.body, 'error') !== '' && !isMissingRoute(answer)
}

function sayUnknown(id: string, input: Input): number {
  input.say(`There is no key "${id}". "hadrian keys list" shows them.`)
  return 1
}

/** A field as text, empty if it is not there. */
function field(value: unknown, name: string): string {
  const found = valueAt(value, [name])
  if (found === undefined || found === null) return ''
  return typeof found === 'string' ? found : JSON.stringify(found)
}

/** As `--owner` takes it, empty if nobody owns the key. */
function ownerOf(key: unknown): string {
  const type = field(valueAt(key, ['owner']), 'type')
  return type === '' ? '' : `${type}:${field(valueAt(key, ['owner']), `${type}_id`)}`
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
