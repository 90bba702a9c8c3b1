/** A reload of a whole gateway: under load, two hundred times, by signal and by command. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { definePlugin } from '../../core/contract/plugin.ts'
import type { Clock } from '../../core/contract/plugin.ts'
import type { Gateway } from '../../core/index.ts'
import { systemClock } from '../../core/services/clock.ts'
import { directoryWith, packageFiles } from '../core/boot-fixtures.ts'
import { runCommand } from '../core/cli-process.ts'
import { reloadable, tagged } from '../core/reloadable-gateway.ts'
import type { Diary } from '../core/reloadable-gateway.ts'
import { startGateway } from './gateway.ts'
import { gate, streamed } from './scripted-upstream.ts'
import { serveProcess, withoutDatabase } from './served-process.ts'
import type { ServedProcess } from './served-process.ts'
import { readerOf } from './stream-client.ts'
import { chatRecords } from './wire-answers.ts'

const chat = { model: 'native/m', stream: true, messages: [{ role: 'user', content: 'Hello' }] }

/** All garbage is collected. */
const collect = (() => {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
})()

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('reloading under load', { timeout: 120_000 }, () => {
  it('fails no request in fifty reloads, and settles each once', async (context) => {
    let settled = 0
    const counter = definePlugin({
      name: 'counter',
      api: 1,
      options: { type: 'object', properties: {}, additionalProperties: false },
      setup: () => ({ settle: () => void (settled += 1) }),
    })
    const diary: Diary = []
    const running = await reloadable(context, { plugins: [counter, tagged('tagger', diary)] })
    const load = { isOver: false }
    let sent = 0
    const client = async (stream: boolean): Promise<void> => {
      while (!load.isOver) {
        sent += 1
        const response = await running.chat({ stream })
        const text = await response.text()
        assert.equal(response.status, 200, text)
        if (stream) assert.match(text, /data: \[DONE\]\n\n$/)
        else assert.match(text, /Hello there\./)
      }
    }
    const clients = Promise.all([true, false, true, false, true, false].map(client))
    for (let reload = 1; reload <= 50; reload += 1) {
      running.write(`[plugins.tagger]\ntag = "${reload}"\n`)
      await running.gateway.reload()
    }
    load.isOver = true
    await clients
    assert.equal(running.gateway.generation, 51)
    assert.ok(sent > 100, `${sent} requests are no load`)
    assert.equal(settled, sent)
    while (diary.filter((line) => line.includes('stop')).length < 50) await turn()
    assert.equal(diary.filter((line) => line.includes('settle')).length, sent)
  })

  it('cuts no stream that comes from an upstream', async () => {
    await using running = await startGateway()
    const rest = gate()
    const records = chatRecords()
    running.upstream.answer(streamed([...records.slice(0, 2), rest.wait, ...records.slice(2)]))
    const reader = readerOf(await running.post('/v1/chat/completions', chat))
    await reader.until('Grüße')
    await running.gateway.reload()
    await running.gateway.reload()
    await (await running.post('/v1/chat/completions', chat)).text()
    rest.open()
    assert.match(await reader.rest(), /data: \[DONE\]/)
    const outcomes = await running.ended(2)
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['completed', 'completed'],
    )
  })
})

/** A clock that knows how many of its timers are set. */
function countingClock(): Clock & { readonly pending: () => number } {
  let pending = 0
  return {
    ...systemClock,
    pending: () => pending,
    after(delayMs, callback) {
      let isSet = true
      const unset = (): void => {
        if (isSet) pending -= 1
        isSet = false
      }
      pending += 1
      const cancel = systemClock.after(delayMs, () => {
        unset()
        callback()
      })
      return () => {
        unset()
        cancel()
      }
    },
  }
}

describe('two hundred reloads', { timeout: 300_000 }, () => {
  interface LeftOver {
    /** Pipelines and plugins of old configs that are still in memory. */
    readonly old: number
    readonly timers: number
    readonly bytes: number
  }

  /** Reloads, with a request before each, and counts what of the old configs is still there. */
  async function leftOver(
    gateway: Gateway,
    clock: ReturnType<typeof countingClock>,
    request: () => Promise<void>,
  ): Promise<LeftOver> {
    const references: WeakRef<object>[] = []
    const reload = async (times: number): Promise<void> => {
      for (let time = 0; time < times; time += 1) {
        for (const part of [gateway.pipeline, ...gateway.plan.plugins.map(({ hooks }) => hooks)])
          references.push(new WeakRef(part))
        await request()
        await gateway.reload()
      }
      // The last of the old plugins are still being stopped.
      for (let round = 0; round < 40; round += 1) {
        await setTimeout(5)
        collect()
      }
    }
    await reload(20)
    const before = { timers: clock.pending(), bytes: process.memoryUsage().heapUsed }
    await reload(180)
    return {
      old: references.filter((reference) => reference.deref() !== undefined).length,
      timers: clock.pending() - before.timers,
      bytes: process.memoryUsage().heapUsed - before.bytes,
    }
  }

  function assertClean(gateway: Gateway, { old, timers, bytes }: LeftOver): void {
    // A connection that is kept alive remembers its last answer, and so what gave it.
    assert.ok(old <= 1 + gateway.plan.plugins.length, `${old} parts of old configs are still there`)
    assert.ok(timers <= 2, `${timers} more timers`)
    assert.ok(bytes < 10_000_000, `${bytes} more bytes`)
  }

  it('leave nothing of the old configs behind', async (context) => {
    const counting = countingClock()
    const running = await reloadable(context, {
      // The scripted provider of other tests remembers its calls, and so what served them.
      toml: '[server]\nmetrics = true\n[providers.test]\n',
      overrides: { providers: [], clock: counting },
      plugins: [
        tagged('tagger', [], ({ meter, retain, run, catalog, clock }) => {
          assert.ok(run)
          assert.ok(catalog)
          retain('counter', () => ({ count: 0 }))
          meter.createObservableGauge('test.gauge').addCallback((result) => result.observe(1))
          let cancel: (() => void) | undefined
          return {
            start: () => void (cancel = clock.after(3_600_000, () => undefined)),
            stop: () => cancel?.(),
          }
        }),
      ],
    })
    const left = await leftOver(running.gateway, counting, async () => {
      const response = await running.chat({}, { model: 'test/echo' })
      assert.equal(response.status, 200, await response.text())
    })
    assertClean(running.gateway, left)
  })

  it('leave nothing behind of the plugins for keys, limits and money either', async () => {
    const clock = countingClock()
    await using running = await startGateway({ isComplete: true, overrides: { clock } })
    const left = await leftOver(running.gateway, clock, async () => {
      const response = await running.post('/v1/chat/completions', { ...chat, stream: false })
      assert.equal(response.status, 200, await response.text())
    })
    assertClean(running.gateway, left)
  })
})

describe('a real process', { timeout: 60_000 }, () => {
  interface Served extends ServedProcess {
    readonly directory: string
    write(toml: string): void
    models(): Promise<readonly string[]>
    reload(): ReturnType<typeof runCommand>
  }

  const common = `[server]\nallow_anonymous = true\n[providers.test]\n${withoutDatabase}`
  const model = (name: string): string => `${common}[models.${name}]\ntargets = ["test/echo"]\n`

  async function serve(
    context: TestContext,
    toml: string,
    files: Readonly<Record<string, string | object>> = {},
  ): Promise<Served> {
    const directory = directoryWith(context, { 'hadrian.toml': toml, ...files })
    const file = join(directory, 'hadrian.toml')
    const environment = { HADRIAN_CONFIG: file, HADRIAN_DATA_DIR: join(directory, 'data') }
    const served = await serveProcess(context, '', environment)
    return {
      ...served,
      directory,
      write: (content) => writeFileSync(file, content),
      async models() {
        const { data } = (await (await fetch(`${served.url}/v1/models`)).json()) as { data: { id: string }[] }
        return data.map(({ id }) => id).filter((id) => !id.startsWith('test/'))
      },
      reload: () => runCommand(context, ['reload'], { directory }),
    }
  }

  /** Resolves when the log has it, and so many times. */
  async function logged({ child, stderr }: ServedProcess, text: string, times = 1): Promise<void> {
    while (stderr().split(text).length - 1 < times) await once(child.stderr!, 'data')
  }

  it('reloads on SIGHUP, and does not when the file has a mistake', async (context) => {
    const served = await serve(context, model('first'))
    assert.deepEqual(await served.models(), ['first'])
    served.write(model('second'))
    served.child.kill('SIGHUP')
    await logged(served, 'config reloaded')
    assert.deepEqual(await served.models(), ['second'])
    served.write(`${model('third')}nonsense = 1\n`)
    served.child.kill('SIGHUP')
    await logged(served, 'config not reloaded')
    assert.match(served.stderr(), /models\.third\.nonsense: is not a known key/)
    assert.deepEqual(await served.models(), ['second'])
    served.child.kill('SIGTERM')
    assert.equal(await served.exit, 0)
  })

  it('reloads on the command, which prints what changed or all that is wrong', async (context) => {
    const served = await serve(context, model('first'))
    served.write(model('second').replace('[server]\n', '[server]\nmetrics = true\n'))
    assert.deepEqual(await served.reload(), {
      code: 0,
      signal: null,
      stdout: 'Reloaded; this is generation 2 of the config. Changed: models.first, models.second, server.metrics.\n',
      stderr: 'Warning: server.metrics: needs a restart; the gateway goes on with what it started with\n',
    })
    assert.deepEqual(await served.models(), ['second'])
    served.write(`${model('third')}[serverr]\nport = 1\n[routing]\ndefault_provider = "tset"\n`)
    assert.deepEqual(await served.reload(), {
      code: 1,
      signal: null,
      stdout: '',
      stderr:
        'serverr: is not a known key\n    Did you mean "server"?\n' +
        'routing.default_provider: there is no provider "tset"\n    Did you mean "test"?\n2 problems.\n',
    })
    assert.deepEqual(await served.models(), ['second'])
  })

  it('says so when there is none to reload', async (context) => {
    const directory = directoryWith(context, {})
    const { code, stderr } = await runCommand(context, ['reload'], { directory })
    assert.equal(code, 1)
    assert.match(stderr, /data: no gateway with this data directory runs\n {4}Start one with "hadrian serve"/)
  })

  it('redacts the secrets of an old config until it is gone, and those of the new one', async (context) => {
    const code = `
      const say = (logger, message) => logger.info({ said: 'old-hidden new-hidden' }, message)
      export default { name: 'sayer', api: 1,
        options: { type: 'object', properties: { secret: { type: 'string', writeOnly: true } } },
        setup: ({ logger }) => ({
          stop: () => say(logger, 'Stopped'),
          routes: [{ method: 'GET', path: '/say', scope: null, handle() {
            say(logger, 'Said')
            return { status: 200, headers: {}, body: {} } } }] }) }`
    const toml = (secret: string): string =>
      `${common}[packages]\npaths = ["sayer"]\n[plugins.sayer]\nsecret = "${secret}"\n`
    const files = packageFiles('sayer', { kind: 'plugin', name: 'sayer', api: 1 }, { code })
    const served = await serve(context, toml('old-hidden'), files)
    served.write(toml('new-hidden'))
    assert.equal((await served.reload()).code, 0)
    await logged(served, '"Stopped"')
    await fetch(`${served.url}/say`)
    await logged(served, '"Said"')
    const said = served.stderr().matchAll(/"said":"(.*?)".*?"message":"(.*?)"/g)
    assert.deepEqual(
      [...said].map(([, text, message]) => `${message}: ${text}`),
      ['Stopped: [redacted] [redacted]', 'Said: old-hidden [redacted]'],
    )
  })
})
