import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JsonObject, ObjectSchema } from '../../core/contract/plugin.ts'
import { checkSchema } from '../../core/testing/schema-checks.ts'

/** What each faulty package must fail, and nothing else. */
const expected: Readonly<Record<string, readonly string[]>> = {
  sound: [],
  'open-options': ['has sound schemas that refuse unknown keys'],
  'unknown-hook': ['has hooks that exist'],
  'shared-hooks': ['sets up independent instances'],
  'fragile-stop': ['stops without start, and twice'],
  'left-timer': ['leaves nothing behind when it stops'],
  'left-clock-timer': ['leaves nothing behind when it stops'],
  'open-door': ['takes a call without credentials, or with strange ones'],
  'throwing-settle': ['settles an aborted exchange once'],
  'sound-provider': [],
  slash: ['has a base URL and paths that fit together'],
  'leaking-encode': ['encodes: greeting'],
  'impure-encode': ['encodes: greeting'],
  'partial-decoder': ['is total: strange records are no error'],
  'two-finishes': ['decodes: answer', 'says the same whole and streamed: answer'],
  'other-when-streamed': ['says the same whole and streamed: answer'],
  'leaking-error': ['turns into an error: unauthorized'],
  'blaming-error': ['turns into an error: unauthorized'],
  'shared-decoder': [
    'decodes alike for every split of the bytes: answer',
    'survives an end after every record: answer',
    'says the same whole and streamed: answer',
  ],
  'deaf-transport': ['ends when its signal is aborted', 'does not begin when its signal is aborted already'],
}

test('the suites find what is wrong with a package, and say what to do', async () => {
  const output = await runSuites(join(import.meta.dirname, 'faulty-packages.ts'))
  const failures = failuresOf(output)
  for (const [name, names] of Object.entries(expected))
    assert.deepEqual([...new Set(failures.get(name))], names, `${name}\n${output}`)
  assert.ok(failures.get('refusing')!.includes('settles a completed exchange once'))
  for (const message of [
    'unknown options are accepted, so a misspelt one would be ignored: set additionalProperties: false',
    'setup returned something that is no hook',
    'authenticate identifies a caller without credentials',
    'a greeting is answered with 400; pass options that let it through',
    'encode wrote a credential; only authorize may',
    'call signal.throwIfAborted()',
  ])
    assert.ok(output.includes(message), `${message}\n${output}`)
})

test('a schema is refused for what would trouble an operator', () => {
  const check = (properties: ObjectSchema['properties'], values?: JsonObject): unknown =>
    checkSchema('options', { type: 'object', properties, additionalProperties: false }, values)
  const described = { description: 'Most.' }
  assert.deepEqual(check({ limit: { type: 'integer', default: 3, ...described } }), { limit: 3 })
  assert.throws(() => check({ limit: { type: 'integer' } }), /options\.limit has no description/)
  assert.throws(() => check({ maxWords: { type: 'integer', ...described } }), /snake_case/)
  assert.throws(() => check({ api_key: { type: 'string', ...described } }), /set writeOnly: true/)
  assert.throws(() => check({ limit: { type: 'integer', minimun: 1, ...described } }), /unknown keyword: "minimun"/)
  assert.throws(() => check({ limit: { type: 'integer', default: 'a', ...described } }), /limit must be integer/)
  assert.throws(() => check({ limit: { type: 'integer', ...described } }, { limit: 'a' }), /do not fit the schema/)
})

/** Runs a file of suites in a process of its own. */
async function runSuites(file: string): Promise<string> {
  // The runner of this file would take the results for its own.
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env
  const child = spawn(process.execPath, [...process.execArgv, '--test-reporter=tap', file], {
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
  })
  let output = ''
  for await (const piece of child.stdout.setEncoding('utf8')) output += String(piece)
  return output
}

/** The names of failed tests by the package they were made for. */
function failuresOf(output: string): ReadonlyMap<string, readonly string[]> {
  const failures = new Map<string, string[]>()
  let current: string[] = []
  for (const line of output.split('\n')) {
    const suite = /^# Subtest: \w+ contract: (.*)$/.exec(line)
    if (suite) failures.set(suite[1]!, (current = []))
    const failed = /^ +not ok \d+ - (.*)$/.exec(line)
    if (failed && !/^(chat|responses|completions|embeddings)/.test(failed[1]!)) current.push(failed[1]!)
  }
  return failures
}
