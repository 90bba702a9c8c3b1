import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Hooks, JournalChannel, PluginDefinition, Services } from '../../core/contract/plugin.ts'
import { createGateway } from '../../core/index.ts'
import type { GatewayOptions } from '../../core/index.ts'
import { harness, memoryJournal } from '../../core/testing/index.ts'
import { directoryWith, lines, problemsOf, recordingLogger, withoutDefaults } from './boot-fixtures.ts'
import { leftAt, leftIn } from './journal-files.ts'

const plugin = (setup: (services: Services) => Hooks): PluginDefinition => ({
  name: 'keeper',
  api: 1,
  options: { type: 'object', properties: {}, additionalProperties: false },
  setup,
})

const gatewayWith = (directory: string, setup: (services: Services) => Hooks, options: GatewayOptions = {}) =>
  createGateway({
    environment: {},
    workingDirectory: directory,
    dataDirectory: join(directory, 'data'),
    ...options,
    config: {
      ...options.config,
      plugins: withoutDefaults,
    },
    overrides: { logger: recordingLogger(), plugins: [[plugin(setup)]], ...options.overrides },
  })

test('plugins have a journal in the data directory, which closes after everything that is retained', async (context) => {
  const directory = directoryWith(context, {})
  for (const sync of ['background', 'request']) {
    const gateway = await gatewayWith(
      directory,
      ({ journal, retain }) => {
        let channel: JournalChannel | undefined
        retain('writer', () => ({ close: () => void channel?.append({ from: 'retained', sync }) }))
        return {
          async start() {
            channel = await journal.open('keeper')
            for (const entry of channel.left) channel.release(entry)
          },
          stop: () => void channel?.append({ from: 'stop', sync }),
        }
      },
      { config: { journal: { sync } } },
    )
    assert(sync === 'request' || !existsSync(join(directory, 'data')))
    await gateway.start({ listen: false })
    await gateway.stop()
    assert.deepEqual(await leftAt(join(directory, 'data', 'journal'), 'keeper'), [
      { from: 'stop', sync },
      { from: 'retained', sync },
    ])
  }
})

test('a gateway whose plugins open no channel writes nothing', async (context) => {
  const directory = directoryWith(context, {})
  const gateway = await gatewayWith(directory, ({ journal }) => (assert(journal), {}))
  await gateway.start({ listen: false })
  await gateway.stop()
  assert(!existsSync(join(directory, 'data')))
})

test('looking at a gateway opens no journal', async (context) => {
  const directory = directoryWith(context, {})
  let opened: Promise<unknown> | undefined
  const gateway = await gatewayWith(directory, ({ journal }) => ((opened = journal.open('keeper')), {}), {
    purpose: 'inspect',
  })
  await assert.rejects(opened!, /opens when the gateway starts/)
  await gateway.stop()
  assert(!existsSync(join(directory, 'data')))
})

test('a journal that cannot be used keeps the gateway from starting', async (context) => {
  const directory = directoryWith(context, { 'data/journal': 'a file' })
  const gateway = await gatewayWith(directory, ({ journal }) => ({
    start: async () => void (await journal.open('keeper')),
  }))
  const problems = await problemsOf(gateway.start({ listen: false }))
  assert.match(lines(problems)[0] ?? '', /data\/journal: cannot be used as the data directory/)
})

test('how the journal is synced is one of two words', async (context) => {
  const config = { journal: { sync: 'always' } }
  const problems = await problemsOf(gatewayWith(directoryWith(context, {}), () => ({}), { config }))
  assert.deepEqual(lines(problems), ['journal.sync: must be one of "background", "request", not "always"'])
})

test('a harness has a journal in memory, and the next finds what a crash left', async () => {
  const journal = memoryJournal()
  const channels: JournalChannel[] = []
  const keeper = plugin((services) => ({
    async start() {
      channels.push(await services.journal.open('keeper'))
    },
  }))
  const first = await harness({ plugins: [keeper], journal })
  const [before] = channels
  const released = before!.append({ number: 1 })
  before!.append({ number: 2 })
  await before!.written()
  before!.release(released)
  before!.append({ number: 3 })
  journal.crash()
  const second = await harness({ plugins: [keeper], journal })
  const after = channels[1]!
  assert.deepEqual(leftIn(after), [{ number: 2 }])
  // What the killed process still does is seen by nobody.
  before!.append({ number: 4 })
  await before!.written()
  await first.stop()
  assert.deepEqual(journal.unreleased('keeper'), [{ number: 2 }])

  journal.fail(new Error('no space'))
  const [kept, undone] = [after.append({ number: 5 }), after.append({ number: 6 })]
  await assert.rejects(after.written(), /the journal cannot be written: no space/)
  after.release(undone)
  journal.fail()
  await after.written()
  assert.deepEqual(journal.unreleased('keeper'), [{ number: 2 }, { number: 5 }])
  after.release(kept)
  await second.stop()
  await using third = await harness({ plugins: [keeper], journal })
  assert(third)
  assert.deepEqual(leftIn(channels[2]!), [{ number: 2 }])
})

test('harnesses have journals of their own', async () => {
  const channels: JournalChannel[] = []
  const keeper = plugin(({ journal }) => ({ start: async () => void channels.push(await journal.open('keeper')) }))
  for (let count = 0; count < 2; count++) {
    await using gateway = await harness({ plugins: [keeper] })
    assert(gateway)
    channels.at(-1)!.append({ count })
  }
  assert.deepEqual(channels[1]!.left, [])
})
