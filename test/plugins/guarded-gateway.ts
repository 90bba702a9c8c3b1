/** Gateways with a blocklist in front of every kind of upstream, and what tests ask of them. */

import assert from 'node:assert/strict'
import { fakeProvider } from '@hadrian/core/testing'
import type { FakeCall, FakeProvider, FakeScript } from '@hadrian/core/testing'
import type { JsonObject } from '../../core/contract/plugin.ts'
import blocklist from '../../plugins/blocklist/index.ts'
import { startGateway } from '../e2e/gateway.ts'
import type { GatewaySetup, RunningGateway } from '../e2e/gateway.ts'
import type { Json } from '../e2e/scripted-upstream.ts'
import { recordsOf } from '../open-responses.ts'

/** What the blocklists of these tests look for. */
export const word = 'falcon'
export const replacement = '[redacted]'

export interface Guarded extends RunningGateway {
  /** The upstream with a transport of its own. */
  readonly transport: FakeProvider
  /** What it answers from now on. */
  script(next: FakeScript): void
}

/** Starts a gateway whose blocklist does this with every match. */
export async function startGuarded(
  action: 'refuse' | 'redact',
  options: JsonObject = {},
  setup: GatewaySetup = {},
): Promise<Guarded> {
  let script: FakeScript = () => []
  const transport = fakeProvider((call: FakeCall, number: number) => script(call, number))
  const running = await startGateway({
    ...setup,
    overrides: {
      ...setup.overrides,
      plugins: [[blocklist, { words: [word], action, replacement, ...options }], ...(setup.overrides?.plugins ?? [])],
      providers: [[transport.definition], ...(setup.overrides?.providers ?? [])],
    },
  })
  return { ...running, transport, script: (next) => void (script = next) }
}

/** Checks that this is the refusal, the same whichever endpoint it came from. */
export function checkRefusal(error: unknown): void {
  const { request_id: requestId, ...rest } = error as Json
  assert.equal(typeof requestId, 'string')
  assert.deepEqual(rest, {
    type: 'invalid_request_error',
    code: 'content_blocked',
    message: 'The content was blocked by policy',
    param: null,
    details: { plugin: 'blocklist', categories: ['blocklist'] },
  })
}

/** Every string of a JSON value with its path; entries of a list count by their `index` where they have one. */
export function stringsIn(value: unknown, path = ''): [path: string, text: string][] {
  if (typeof value === 'string') return [[path, value]]
  if (Array.isArray(value))
    return value.flatMap((entry: unknown, position) =>
      stringsIn(entry, `${path}[${JSON.stringify((entry as Json | null)?.['index'] ?? position)}]`),
    )
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, entry]) => [
    [`${path} key`, name] as [string, string],
    ...stringsIn(entry, `${path}.${name}`),
  ])
}

/** What a client that adds up the pieces of a stream has in the end: one text for each place. */
export function joinedStrings(stream: string): Map<string, string> {
  const joined = new Map<string, string>()
  for (const { data } of recordsOf(stream)) {
    if (data === '[DONE]') continue
    const value = JSON.parse(data) as Json
    const place = JSON.stringify(
      ['type', 'output_index', 'content_index', 'summary_index'].map((name) => value[name] ?? null),
    )
    for (const [path, text] of stringsIn(value, place)) joined.set(path, (joined.get(path) ?? '') + text)
  }
  return joined
}

/** Checks that nothing a client has of an answer says the word, not even in pieces or escaped. */
export function checkClean(body: string, isStream: boolean): void {
  assert.ok(!body.toLowerCase().includes(word), `the word is in the body: ${body}`)
  const texts = isStream ? joinedStrings(body) : stringsIn(JSON.parse(body))
  for (const [path, text] of texts) assert.ok(!text.toLowerCase().includes(word), `the word is in ${path}: ${text}`)
}
