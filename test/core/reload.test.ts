/** A reload replaces the config of a running gateway, and nothing that is under way notices. */

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { PluginDefinition } from '../../core/contract/plugin.ts'
import { StartupError } from '../../core/index.ts'
import { fakeProvider, textEvents } from '../../core/testing/index.ts'
import type { FakeProvider } from '../../core/testing/index.ts'
import { lineRedactor } from '../../core/services/redaction.ts'
import { Secrets } from '../../core/services/secrets.ts'
import { directoryWith, lines, problemsOf } from './boot-fixtures.ts'
import { reloadable, tagged } from './reloadable-gateway.ts'
import type { Diary, Reloadable } from './reloadable-gateway.ts'

const section = (name: string, tag: string): string => `[plugins.${name}]\ntag = "${tag}"\n`

async function tagOf({ url }: Reloadable, name = 'tagger'): Promise<string> {
  const response = await fetch(`${url}/${name}`)
  return response.status === 200 ? ((await response.json()) as { tag: string }).tag : String(response.status)
}

/** Says one word, and the others when it may. */
function pausing(): { readonly provider: FakeProvider; readonly begun: Promise<void>; readonly goOn: () => void } {
  const rest = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const provider = fakeProvider(async function* (_, number) {
    const events = textEvents('one two three')
    if (number > 1) {
      yield* events
      return
    }
    yield* events.slice(0, 2)
    begun.resolve()
    await rest.promise
    yield* events.slice(2)
  })
  return { provider, begun: begun.promise, goOn: rest.resolve }
}

/** Resolves when the diary has this line. */
async function written(diary: Diary, line: string): Promise<void> {
  while (!diary.includes(line)) await new Promise((resolve) => setImmediate(resolve))
}

describe('a reload', { timeout: 30_000 }, () => {
  it('puts the new file in force and says what changed', async (context) => {
    const diary: Diary = []
    const running = await reloadable(context, {
      toml: section('tagger', 'old'),
      plugins: [tagged('tagger', diary), tagged('other')],
    })
    assert.equal(running.gateway.generation, 1)
    running.write(`${section('tagger', 'new')}[log]\nlevel = "warn"\n`)
    assert.deepEqual(await running.gateway.reload(), {
      generation: 2,
      changed: ['log.level', 'plugins.tagger'],
      warnings: [],
    })
    assert.equal(running.gateway.generation, 2)
    assert.equal(await tagOf(running), 'new')
    assert.equal((await running.chat()).status, 200)
    await written(diary, '1 stop old')
    assert.deepEqual(diary.toSorted(), ['1 start old', '1 stop old', '2 settle new completed', '2 start new'])
    assert.deepEqual(
      running.log.filter(({ message }) => message === 'config reloaded').map(({ fields }) => fields),
      [{ generation: 2, changed: ['log.level', 'plugins.tagger'] }],
    )
  })

  it('adds and removes plugins and providers, and reports another order', async (context) => {
    const running = await reloadable(context, {
      toml: `${section('a', 'x')}${section('b', 'x')}`,
      plugins: [tagged('a'), tagged('b')],
    })
    running.write(`[providers.more]\ntype = "test"\n[plugins.b]\nenabled = false\n${section('a', 'x')}`)
    const { changed } = await running.gateway.reload()
    assert.deepEqual(changed, ['plugins.b', 'providers.more'])
    assert.equal(await tagOf(running, 'b'), '404')
    assert.equal(await tagOf(running, 'a'), 'x')
    assert.deepEqual([...running.gateway.providers.keys()], ['more', 'fake'])
    assert.ok(!running.gateway.services.has('nothing'))
  })

  it('ends an open stream on the config it began with, while new requests use the new one', async (context) => {
    const diary: Diary = []
    const { provider, begun, goOn } = pausing()
    const running = await reloadable(context, {
      toml: section('tagger', 'old'),
      plugins: [tagged('tagger', diary)],
      provider,
    })
    const stream = await running.chat({ stream: true })
    await begun
    running.write(section('tagger', 'new'))
    await running.gateway.reload()
    assert.equal(await tagOf(running), 'new')
    assert.equal((await running.chat()).status, 200)
    assert.deepEqual(diary, ['1 start old', '2 start new', '2 settle new completed'])
    goOn()
    const text = await stream.text()
    assert.match(text, /"three"/)
    assert.match(text, /data: \[DONE\]/)
    await written(diary, '1 stop old')
    assert.deepEqual(diary.slice(3), ['1 settle old completed', '1 stop old'])
  })

  it('lets an old config go whose clients left with requests sent ahead', async (context) => {
    const { provider, begun, goOn } = pausing()
    const diary: Diary = []
    const running = await reloadable(context, { provider, plugins: [tagged('tagger', diary)] })
    const { port } = new URL(running.url)
    const socket = connect(Number(port), '127.0.0.1')
    const body = JSON.stringify({ model: 'fake/m', stream: true, messages: [{ role: 'user', content: 'Hello' }] })
    const head = 'Host: x\r\nContent-Type: application/json\r\n'
    const post = `POST /v1/chat/completions HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`
    socket.write(`${post}GET /health HTTP/1.1\r\n${head}\r\n`.repeat(2))
    await begun
    await running.gateway.reload()
    socket.destroy()
    goOn()
    await written(diary, '1 stop none')
  })

  it('counts the open exchanges of every config, and a stop waits for all', async (context) => {
    const { provider, begun, goOn } = pausing()
    const diary: Diary = []
    const running = await reloadable(context, {
      provider,
      plugins: [tagged('tagger', diary)],
      toml: '[server]\nmetrics = true\n',
    })
    const stream = await running.chat({ stream: true })
    await begun
    await running.gateway.reload()
    const open = async (): Promise<string | undefined> =>
      /^hadrian_exchanges_open\{?.*\}? (\d+)$/m.exec(await (await fetch(`${running.url}/metrics`)).text())?.[1]
    assert.equal(await open(), '1')
    const stopped = running.gateway.stop()
    goOn()
    assert.match(await stream.text(), /data: \[DONE\]/)
    await stopped
    assert.deepEqual(diary.filter((line) => !line.includes('start')).toSorted(), [
      '1 settle none completed',
      '1 stop none',
      '2 stop none',
    ])
  })

  it('keeps counting where the metrics were', async (context) => {
    const running = await reloadable(context, { toml: '[server]\nmetrics = true\n' })
    const finished = async (): Promise<string | undefined> =>
      /^hadrian_exchange_duration_count\{.*\} (\d+)$/m.exec(await (await fetch(`${running.url}/metrics`)).text())?.[1]
    await (await running.chat()).text()
    await running.gateway.reload()
    await (await running.chat()).text()
    assert.equal(await finished(), '2')
  })

  it('takes the callbacks of old plugins out of the meter', async (context) => {
    const asked: number[] = []
    const diary: Diary = []
    const observing = tagged('observing', diary, ({ meter }, instance) => {
      const gauge = meter.createObservableGauge('test.gauge')
      gauge.addCallback((result) => {
        asked.push(instance)
        result.observe(instance)
      })
      const other = meter.createObservableGauge('test.other')
      meter.addBatchObservableCallback((result) => result.observe(other, instance), [other])
      return {}
    })
    const running = await reloadable(context, { toml: '[server]\nmetrics = true\n', plugins: [observing] })
    const metrics = async (): Promise<string> => (await fetch(`${running.url}/metrics`)).text()
    assert.match(await metrics(), /^test_gauge 1$/m)
    await running.gateway.reload()
    await written(diary, '1 stop none')
    // The meter is let go after the last plugin.
    await new Promise((resolve) => setImmediate(resolve))
    asked.length = 0
    const text = await metrics()
    assert.match(text, /^test_gauge 2$/m)
    assert.match(text, /^test_other 2$/m)
    assert.deepEqual(asked, [2])
  })

  it('serves what runs and which config it is at /admin/v1/plan', async (context) => {
    const running = await reloadable(context, { plugins: [tagged('tagger')] })
    assert.equal((await fetch(`${running.url}/admin/v1/plan`)).status, 403)
    await running.gateway.reload()
    const body = (await (await running.admin('GET', '/admin/v1/plan')).json()) as Record<string, unknown>
    assert.deepEqual(body, { generation: 2, rows: running.gateway.plan.rows, warnings: [] })
    const openapi = (await (await fetch(`${running.url}/openapi.json`)).json()) as { paths: Record<string, object> }
    assert.deepEqual(Object.keys(openapi.paths['/admin/v1/plan'] ?? {}), ['get'])
    assert.deepEqual(Object.keys(openapi.paths['/admin/v1/reload'] ?? {}), ['post'])
  })

  it('is for administrators, over HTTP', async (context) => {
    const running = await reloadable(context)
    const refused = await fetch(`${running.url}/admin/v1/reload`, { method: 'POST' })
    assert.equal(refused.status, 403)
    const answer = await running.admin('POST', '/admin/v1/reload')
    assert.deepEqual(await answer.json(), { reloaded: true, generation: 2, changed: [], warnings: [] })
  })

  it('applies limits, anonymous access and the rest of [server] at once', async (context) => {
    const running = await reloadable(context)
    running.write('[server]\nbody_limit_bytes = 1024\n')
    const large = { model: 'fake/fake-model', messages: [{ role: 'user', content: 'x'.repeat(1024) }] }
    assert.equal((await running.chat({}, large)).status, 200)
    assert.deepEqual((await running.gateway.reload()).changed, ['server.body_limit_bytes'])
    assert.equal((await running.chat({}, large)).status, 413)
  })

  it('warns of what needs a restart, for as long as it does', async (context) => {
    const running = await reloadable(context, { environment: { PORT: '' }, toml: '[server]\nport = 0\n' })
    running.write('[server]\nport = 9\nhost = "localhost"\nmetrics = true\n[database]\nurl = "postgres://u@h/d"\n')
    const paths = ['server.host', 'server.port', 'server.metrics', 'database.url']
    const expected = paths.map((path) => `${path}: needs a restart; the gateway goes on with what it started with`)
    const { warnings, changed } = await running.gateway.reload()
    assert.deepEqual(warnings, expected)
    assert.deepEqual(changed, paths.toSorted())
    assert.deepEqual((await running.gateway.reload()).warnings, expected)
    assert.equal((await running.chat()).status, 200)
    running.write('[server]\nport = 0\n')
    assert.deepEqual((await running.gateway.reload()).warnings, [])
  })

  it('is done one at a time: a second waits and reads the file again, a third joins it', async (context) => {
    let entered = Promise.withResolvers<void>()
    const leave = Promise.withResolvers<void>()
    let setups = 0
    const slow: PluginDefinition = {
      ...tagged('slow'),
      async setup() {
        setups += 1
        if (setups !== 2) return {}
        entered.resolve()
        await leave.promise
        return {}
      },
    }
    const running = await reloadable(context, { plugins: [slow, tagged('tagger')] })
    const first = running.gateway.reload()
    await entered.promise
    entered = Promise.withResolvers()
    running.write(section('tagger', 'later'))
    const second = running.gateway.reload()
    const third = running.gateway.reload()
    leave.resolve()
    assert.deepEqual((await first).generation, 2)
    assert.deepEqual(await second, { generation: 3, changed: ['plugins', 'plugins.tagger'], warnings: [] })
    assert.deepEqual(await third, await second)
    assert.equal(setups, 3)
    assert.equal((await running.gateway.reload()).generation, 4)
  })

  it('waits for a start that is under way, and needs one', async (context) => {
    const { gateway } = await reloadable(context, { start: false })
    await assert.rejects(gateway.reload(), /started before its config can be reloaded/)
    const started = gateway.start({ listen: false })
    assert.equal((await gateway.reload()).generation, 2)
    await started
  })
})

describe('a reload that fails', { timeout: 30_000 }, () => {
  /** Nothing of the gateway may have changed. */
  async function isUntouched(running: Reloadable): Promise<void> {
    assert.equal(running.gateway.generation, 1)
    assert.equal(await tagOf(running), 'old')
    assert.equal((await running.chat()).status, 200)
  }

  const start = (
    context: Parameters<typeof reloadable>[0],
    plugins: readonly PluginDefinition[] = [],
  ): Promise<Reloadable> =>
    reloadable(context, { toml: section('tagger', 'old'), plugins: [tagged('tagger'), ...plugins] })

  it('leaves everything as it is: TOML that is none', async (context) => {
    const running = await start(context)
    writeFileSync(running.file, '[plugins.tagger\n')
    const [problem] = await problemsOf(running.gateway.reload())
    assert.match(problem!.path, /hadrian\.toml:1:\d+$/)
    await isUntouched(running)
    assert.deepEqual(
      running.log.filter(({ level }) => level === 'error').map(({ message }) => message),
      ['config not reloaded; the one in force stays'],
    )
  })

  it('leaves everything as it is: a file that is gone', async (context) => {
    const running = await start(context)
    rmSync(running.file)
    assert.match((await problemsOf(running.gateway.reload()))[0]!.message, /no such config file/)
    await isUntouched(running)
  })

  it('leaves everything as it is, and reports every mistake with what to do', async (context) => {
    const running = await start(context)
    running.write('[plugins.tagger]\ntga = "new"\n[server]\nhosts = "x"\n[routing]\ndefault_provider = "fak"\n')
    const answer = await running.admin('POST', '/admin/v1/reload')
    assert.equal(answer.status, 400)
    const { error } = (await answer.json()) as {
      error: { code: string; message: string; details: { errors: object[] } }
    }
    assert.equal(error.code, 'invalid_request_error')
    assert.equal(error.message, 'The config has 3 problems; the one in force stays')
    assert.deepEqual(error.details.errors, [
      { path: 'server.hosts', message: 'is not a known key', hint: 'Did you mean "host"?' },
      { path: 'plugins.tagger.tga', message: 'is not a known key', hint: 'Did you mean "tag"?' },
      { path: 'routing.default_provider', message: 'there is no provider "fak"', hint: 'Did you mean "fake"?' },
    ])
    await isUntouched(running)
  })

  it('stops what was set up when a setup throws, and shows no secret it quotes', async (context) => {
    const diary: Diary = []
    const careless = tagged('careless', diary, ({ options }) => {
      const { secret } = options as { secret?: string }
      if (secret !== undefined) throw new Error(`cannot use ${secret}`)
      return {}
    })
    const fine = tagged('fine', diary)
    const running = await start(context, [fine, careless])
    running.write('[plugins.careless]\nsecret = "hunter-2-hunter"\n')
    assert.deepEqual(lines(await problemsOf(running.gateway.reload())), [
      'plugins.careless: setup failed: cannot use [redacted]',
    ])
    assert.ok(!JSON.stringify(running.log).includes('hunter-2'))
    assert.deepEqual(diary, ['1 start none', '1 start none', '2 stop none'])
    await isUntouched(running)
  })

  it('stops what was started when a start throws', async (context) => {
    const diary: Diary = []
    const failing = tagged('failing', diary, ({ options: { tag } }, instance) => ({
      start() {
        diary.push(`${instance} start ${tag}`)
        if (tag === 'bad') throw new Error('no connection')
      },
    }))
    const running = await start(context, [tagged('before', diary), failing, tagged('after', diary)])
    diary.length = 0
    running.write(`${section('before', 'b')}${section('failing', 'bad')}${section('after', 'a')}`)
    assert.deepEqual(lines(await problemsOf(running.gateway.reload())), [
      'plugins.failing: start failed: no connection',
    ])
    assert.deepEqual(diary, ['2 start b', '2 start bad', '2 stop a', '2 stop bad', '2 stop b'])
    await isUntouched(running)
    running.write(section('tagger', 'better'))
    assert.equal((await running.gateway.reload()).generation, 2)
  })

  it('tells the second caller what became of its own', async (context) => {
    const running = await start(context)
    running.write('nonsense = 1\n')
    const results = await Promise.allSettled([running.gateway.reload(), running.gateway.reload()])
    assert.deepEqual(
      results.map((result) => result.status === 'rejected' && result.reason instanceof StartupError),
      [true, true],
    )
    await isUntouched(running)
  })
})

describe('stopping while reloading', { timeout: 30_000 }, () => {
  it('stops what the reload has made, and refuses it', async (context) => {
    const diary: Diary = []
    const entered = Promise.withResolvers<void>()
    const hanging = tagged('hanging', diary, (_, instance) => ({
      start() {
        diary.push(`${instance} start`)
        if (instance === 1) return undefined
        entered.resolve()
        return new Promise(() => {})
      },
    }))
    const running = await reloadable(context, { plugins: [hanging] })
    const answer = running.admin('POST', '/admin/v1/reload')
    await entered.promise
    await running.gateway.stop()
    const response = await answer
    assert.equal(response.status, 503)
    assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'shutting_down')
    assert.deepEqual(diary.toSorted(), ['1 start', '1 stop none', '2 start', '2 stop none'])
    await assert.rejects(running.gateway.reload(), { code: 'shutting_down' })
  })

  it('does not wait for a setup that hangs, beyond a limit, and does not start it afterwards', async (context) => {
    const diary: Diary = []
    const entered = Promise.withResolvers<void>()
    const leave = Promise.withResolvers<void>()
    const base = tagged('slow', diary)
    let setups = 0
    const slow: PluginDefinition = {
      ...base,
      async setup(services) {
        setups += 1
        if (setups === 2) {
          entered.resolve()
          await leave.promise
        }
        return base.setup(services)
      },
    }
    const running = await reloadable(context, { plugins: [slow] })
    const reloading = running.gateway.reload()
    await entered.promise
    const stopped = running.gateway.stop()
    leave.resolve()
    await assert.rejects(reloading, { code: 'shutting_down' })
    await stopped
    assert.deepEqual(diary.toSorted(), ['1 start none', '1 stop none', '2 stop none'])
  })
})

describe('what belongs to the process', { timeout: 30_000 }, () => {
  it('keeps retained values through reloads and closes them last, in reverse order', async (context) => {
    const diary: Diary = []
    const counting = tagged('counting', diary, ({ retain }, instance) => {
      const first = retain('first', () => ({ close: () => void diary.push('close first') }))
      const counter = retain('counter', () => ({
        first,
        count: 0,
        close: () => Promise.reject(new Error('still busy')),
      }))
      retain('last', () => ({ close: () => void diary.push('close last') }))
      counter.count += 1
      diary.push(`${instance} sees ${counter.count}`)
      return {}
    })
    const running = await reloadable(context, { plugins: [counting] })
    await running.gateway.reload()
    await running.gateway.reload()
    await running.gateway.stop()
    const told = diary.filter((line) => !line.includes('start'))
    assert.deepEqual(
      told.filter((line) => line.includes('sees')),
      ['1 sees 1', '2 sees 2', '3 sees 3'],
    )
    assert.deepEqual(told.slice(-2), ['close last', 'close first'])
    assert.equal(told.filter((line) => line.includes('stop')).length, 3)
    assert.ok(running.log.some(({ message }) => message === 'close failed'))
  })

  it('brings the tables of new plugins up to date, once, and closes the database after the retained values', async (context) => {
    const diary: Diary = []
    const directory = directoryWith(context, { '001-first.sql': 'create table one_of_ours (id int)' })
    const migrations = pathToFileURL(`${directory}/`)
    const using = tagged(
      'using',
      diary,
      ({ db, retain }) => {
        const count = async (): Promise<void> => {
          const [row] = await db.query('select count(*)::int as count from one_of_ours')
          diary.push(`${String(row?.['count'])} rows`)
        }
        retain('counter', () => ({ close: count }))
        return { start: count }
      },
      { migrations },
    )
    const running = await reloadable(context, { plugins: [using], toml: '[plugins.using]\nenabled = false\n' })
    running.write('')
    await running.gateway.reload()
    await running.gateway.reload()
    assert.deepEqual(
      diary.filter((line) => line.endsWith('rows')),
      ['0 rows', '0 rows'],
    )
    await running.gateway.stop()
    assert.equal(diary.at(-1), '0 rows')
    assert.deepEqual(
      running.log.filter(({ level }) => level === 'error'),
      [],
    )
  })

  it('forgets the secrets of a config, but not those that another has too', () => {
    const secrets = new Secrets()
    const redact = lineRedactor(() => secrets.all)
    const forget = secrets.add(['the-old-one', 'kept-by-both'])
    secrets.add(['the-new-one', 'kept-by-both'])
    assert.equal(redact('"the-old-one the-new-one kept-by-both"'), '"[redacted] [redacted] [redacted]"')
    forget()
    assert.equal(redact('"the-old-one the-new-one kept-by-both"'), '"the-old-one [redacted] [redacted]"')
  })

  it('goes on with open connections to upstreams', async () => {
    const { ConnectionPools, Connections } = await import('../../core/pipeline/connections.ts')
    const pools = new ConnectionPools()
    const [old, next] = [new Connections(pools), new Connections(pools)]
    const pool = old.pool('http://127.0.0.1:1', 100)
    assert.equal(next.pool('http://127.0.0.1:1', 100), pool)
    const gone = old.pool('http://127.0.0.1:2', 100)
    await old.close()
    await old.close()
    assert.ok(!pool.destroyed)
    assert.ok(gone.destroyed)
    await next.close()
    assert.ok(pool.destroyed)
  })
})
