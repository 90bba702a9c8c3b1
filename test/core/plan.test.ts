import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { plan as planCommand } from '../../core/cli/plan.ts'
import type { Hooks, JsonObject, ObjectSchema, PluginDefinition } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import type { Gateway, MemoryPlugin } from '../../core/index.ts'
import { directoryWith, lines, problemsOf, withoutDefaults } from './boot-fixtures.ts'
import { hookPlugin } from './hook-plugin.ts'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const off = { enabled: false }
const alone = { ...withoutDefaults, 'response-healing': off }

function gatewayWith(plugins: readonly (PluginDefinition | MemoryPlugin)[], config: JsonObject = {}): Promise<Gateway> {
  return createGateway({
    environment: {},
    purpose: 'inspect',
    config: { plugins: alone, ...config },
    overrides: {
      logger: quiet,
      plugins: plugins.map((plugin): MemoryPlugin => ('setup' in plugin ? [plugin] : plugin)),
    },
  })
}

async function rowsOf(plugins: readonly (PluginDefinition | MemoryPlugin)[]): Promise<string> {
  const gateway = await gatewayWith(plugins)
  await gateway.stop()
  return gateway.plan.rows.map(({ hook, position, plugin, why }) => `${hook} ${position} ${plugin}: ${why}`).join('\n')
}

async function problemLines(
  hooks: object,
  rest: Partial<PluginDefinition> = {},
  settings: JsonObject = {},
): Promise<string[]> {
  return lines(await problemsOf(gatewayWith([[hookPlugin('it', hooks, rest), settings]])))
}

const nothing = (): void => {}
async function* noEvents(): AsyncGenerator<never> {
  yield* []
}
const params: ObjectSchema = {
  type: 'object',
  properties: { count: { type: 'integer', default: 3 }, word: { type: 'string' } },
}

describe('hadrian plan', () => {
  const print = async (file: string): Promise<{ printed: string; said: string }> => {
    const printed: string[] = []
    const said: string[] = []
    const status = await planCommand.run({
      options: { config: file },
      words: [],
      environment: {},
      print: (line) => void printed.push(line),
      say: (line) => void said.push(line),
    })
    assert.equal(status, 0)
    const trimmed = printed.flatMap((text) => text.split('\n')).map((line) => line.trimEnd())
    return { printed: trimmed.join('\n'), said: said.join('\n') }
  }

  it('of the default config', async (context) => {
    const directory = directoryWith(context, { 'hadrian.toml': '' })
    assert.equal((await print(`${directory}/hadrian.toml`)).printed, `\
HOOK          #  PLUGIN               WHY
authenticate  1  auth                 after identity
admit         1  rate-limit           default
              2  budget               default
route         1  router               default
transform     1  file-parser          before context-compression; on request as "file-parser"; or where a request needs it
              2  context-compression  after file-parser; on request as "context-compression"; or where a request needs it
dispatch      1  file-parser          before context-compression; on request as "file-parser"; or where a request needs it
              2  (kernel)             calls providers
reserve       1  rate-limit           default
              2  budget               default
              3  pricing              default
attempt       1  target-health        default
              2  context-compression  after file-parser; on request as "context-compression"; or where a request needs it
event         1  file-parser          before context-compression; reverse order; on request as "file-parser"; or where a request needs it
stream        1  response-healing     default; reverse order; holds the stream back; on request as "response-healing"
settle        1  usage-log            default; reverse order
              2  router               default; reverse order
              3  pricing              default; reverse order
              4  budget               default; reverse order
              5  rate-limit           default; reverse order`) // prettier-ignore
  })

  it('of a richer one', async (context) => {
    const directory = directoryWith(context, {
      'hadrian.toml': `
[plugins.blocklist]
words = ["swordfish"]
order = { before = ["router", "no-such-plugin"] }

[plugins.response-healing]
apply = "always"

[plugins.usage-log]
enabled = false
`,
    })
    const { printed, said } = await print(`${directory}/hadrian.toml`)
    assert.equal(printed, `\
HOOK          #  PLUGIN               WHY
authenticate  1  auth                 after identity
admit         1  rate-limit           default
              2  budget               default
route         1  router               default
transform     1  blocklist            before router; guards input, so before the others, and after them again
              2  file-parser          before blocklist, before context-compression; on request as "file-parser"; or where a request needs it
              3  context-compression  after file-parser; on request as "context-compression"; or where a request needs it
dispatch      1  file-parser          before blocklist, before context-compression; on request as "file-parser"; or where a request needs it
              2  (kernel)             calls providers
reserve       1  rate-limit           default
              2  budget               default
              3  pricing              default
attempt       1  target-health        default
              2  context-compression  after file-parser; on request as "context-compression"; or where a request needs it
event         1  file-parser          before blocklist, before context-compression; reverse order; on request as "file-parser"; or where a request needs it
              2  blocklist            before router; reverse order; guards output, so after the others
stream        1  response-healing     after blocklist; reverse order; holds the stream back; always
settle        1  router               default; reverse order
              2  pricing              default; reverse order
              3  budget               default; reverse order
              4  rate-limit           default; reverse order`) // prettier-ignore
    assert.match(said, /plugin "blocklist" wants to run before "no-such-plugin", which no installed package is called/)
  })
})

describe('the plan', () => {
  it('has each hook of each plugin once, in the order of the table, those of the answer in reverse', async () => {
    const all = (name: string, order?: PluginDefinition['order']): PluginDefinition =>
      hookPlugin(
        name,
        {
          receive: nothing, authenticate: nothing, authorize: nothing, admit: nothing, route: nothing, transform: nothing,
          dispatch: (_, next) => next(), reserve: nothing, attempt: (_, __, next) => next(), observe: nothing,
          event: nothing, flush: nothing, stream: noEvents, settle: nothing,
        },
        order && { order },
      ) // prettier-ignore
    const rows = await rowsOf([all('a', { after: ['b'] }), all('b')])
    const forwards = ['receive', 'authenticate', 'authorize', 'admit', 'route', 'transform', 'dispatch', 'reserve', 'attempt', 'observe'] // prettier-ignore
    const expected = [
      ...forwards.flatMap((hook) => [
        `${hook} 1 b: memory`,
        `${hook} 2 a: after b`,
        ...(hook === 'dispatch' ? ['dispatch 3 (kernel): calls providers'] : []),
      ]),
      ...['event', 'stream', 'settle'].flatMap((hook) => {
        const cost = hook === 'stream' ? '; holds the stream back' : ''
        return [`${hook} 1 a: after b; reverse order${cost}`, `${hook} 2 b: memory; reverse order${cost}`]
      }),
    ]
    assert.equal(rows, expected.join('\n'))
  })

  it('says what a client may name, what is applied always and what is locked', async () => {
    const plugin = hookPlugin('it', { transform: nothing }, { params })
    assert.equal(
      await rowsOf([plugin]),
      'transform 1 it: memory; on request as "it"\ndispatch 1 (kernel): calls providers',
    )
    const settings = { apply: 'always', locked: ['count'], params: { count: 1 } }
    assert.equal(
      await rowsOf([[plugin, settings]]),
      'transform 1 it: memory; always; locked: count\ndispatch 1 (kernel): calls providers',
    )
  })

  it('applies a guardrail always, even one that a client may name', async () => {
    const plugin = hookPlugin('it', { transform: nothing }, { params, guardrail: { input: true } })
    assert.match(await rowsOf([plugin]), /transform 1 it: memory; always/)
  })
})

describe('what keeps a plugin from running', () => {
  for (const hook of ['receive', 'authenticate', 'authorize', 'admit', 'route'])
    it(`params with ${hook}, which runs before they are known`, async () => {
      assert.deepEqual(await problemLines({ [hook]: nothing }, { params }), [
        `plugins.it: declares "params" and implements ${hook}, which run before a client's params are known (A plugin with params may implement transform and later hooks only.)`,
      ])
    })

  for (const hook of ['transform', 'dispatch', 'reserve', 'attempt', 'observe', 'event', 'stream', 'settle'])
    it(`not params with ${hook}`, async () => {
      await (await gatewayWith([hookPlugin('it', { [hook]: nothing }, { params })])).stop()
    })

  for (const hook of ['authenticate', 'authorize', 'admit', 'reserve'])
    it(`failure = "open" with ${hook}, said by config or by itself`, async () => {
      const expected = [
        `plugins.it.failure: "open" would let requests pass unchecked when ${hook} fails (Use failure = "closed".)`,
      ]
      assert.deepEqual(await problemLines({ [hook]: nothing }, {}, { failure: 'open' }), expected)
      assert.deepEqual(await problemLines({ [hook]: nothing }, { failure: 'open' }), expected)
    })

  it('failure = "open" of a guardrail', async () => {
    assert.deepEqual(await problemLines({ transform: nothing }, { guardrail: { input: true } }, { failure: 'open' }), [
      'plugins.it.failure: "open" would let requests pass unchecked when this guardrail fails (Use failure = "closed".)',
    ])
  })

  it('not failure = "open" elsewhere, nor "closed" by config over its own "open"', async () => {
    for (const hook of ['receive', 'route', 'transform', 'dispatch', 'attempt', 'observe', 'event', 'settle'])
      await (await gatewayWith([[hookPlugin('it', { [hook]: nothing }), { failure: 'open' }]])).stop()
    const settings = { failure: 'closed' }
    await (await gatewayWith([[hookPlugin('it', { admit: nothing }, { failure: 'open' }), settings]])).stop()
  })

  it('a guardrail of input that never sees any', async () => {
    for (const hooks of [{}, { event: nothing }, { route: nothing }, { settle: nothing }])
      assert.deepEqual(await problemLines(hooks, { guardrail: { input: true } }), [
        'plugins.it: says it guards input, but has no transform hook, so no endpoint is covered',
      ])
  })

  it('a guardrail of output that never sees any', async () => {
    for (const hooks of [{}, { transform: nothing }, { observe: nothing }, { flush: nothing, event: undefined }])
      assert.ok(
        (await problemLines(hooks, { guardrail: { output: true } })).includes(
          'plugins.it: says it guards output, but has no event or stream hook, so no answer is covered',
        ),
      )
    for (const hook of [{ event: nothing }, { stream: noEvents }])
      await (await gatewayWith([hookPlugin('it', hook, { guardrail: { output: true } })])).stop()
  })

  it('flush without event, and hooks that do not exist, all told at once', async () => {
    assert.deepEqual(await problemLines({ flush: nothing, tranform: nothing, onError: nothing }), [
      'plugins.it: has a flush hook without an event hook to hold text back',
      'plugins.it: setup returned "tranform", which is no hook (Did you mean "transform"?)',
      'plugins.it: setup returned "onError", which is no hook',
    ])
  })

  it('a params schema that is none', async () => {
    const [line] = await problemLines({ transform: nothing }, { params: { type: 'nonsense' } as never })
    assert.match(line!, /^plugins\.it: its "params" schema is not valid: /)
  })

  it('defaults that its params refuse, and locks on what it does not have', async () => {
    const settings = { params: { count: 'many' }, locked: ['coutn'] }
    assert.deepEqual(await problemLines({ transform: nothing }, { params }, settings), [
      'plugins.it.params.count: must be integer',
      'plugins.it.locked: "coutn" is no param of this plugin (Its params are: count, word.)',
    ])
  })

  it('a cycle, with other problems beside it', async () => {
    const first = hookPlugin('first', { transform: nothing }, { order: { before: ['second'] } })
    const second = hookPlugin('second', { nonsense: nothing } as Hooks, { order: { before: ['first'] } })
    const found = lines(await problemsOf(gatewayWith([first, second])))
    assert.equal(found.length, 2)
    assert.match(found.join('\n'), /"first" before "second"/)
    assert.match(found.join('\n'), /"nonsense", which is no hook/)
  })

  it('not an order that config overrides', async () => {
    const first = hookPlugin('first', { transform: nothing }, { order: { before: ['second'] } })
    const second = hookPlugin('second', { transform: nothing }, { order: { before: ['first'] } })
    const rows = await rowsOf([[first, { order: { before: [], after: ['second'] } }], second])
    assert.match(rows, /^transform 1 second: before first\ntransform 2 first: after second/)
  })
})
