import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { GatewayError, gatewayError } from '../../core/contract/errors.ts'
import type { Hooks, StreamEvent } from '../../core/contract/plugin.ts'
import { fakeProvider, harness } from '../../core/testing/index.ts'
import type { FakeProvider, Harness } from '../../core/testing/index.ts'
import { chatText, drain, gate, hookPlugin, text, turn } from './hook-plugin.ts'

/** A provider that answers with these events. */
function answering(...events: StreamEvent[]): FakeProvider {
  return fakeProvider(() => events)
}

const finish: StreamEvent = { type: 'finish', reason: 'stop' }

function mapText(change: (value: string) => string): Hooks {
  return { event: (_, event) => (event.type === 'text' ? { ...event, text: change(event.text) } : undefined) }
}

/** Holds all text back until it may go, and gives it out as one piece. */
function holding(release: (held: string) => string = (held) => held): Hooks {
  let held = ''
  return {
    event(_, event) {
      if (event.type !== 'text') return undefined
      held += event.text
      return null
    },
    flush() {
      const all = held
      held = ''
      return all === '' ? undefined : [text(release(all))]
    },
  }
}

async function streamedText(gateway: Harness, choice = 0): Promise<string> {
  return chatText(await drain((await gateway.stream()).records), choice)
}

async function wholeText(gateway: Harness): Promise<string> {
  const { body } = await gateway.send()
  return (body as unknown as { choices: { message: { content: string } }[] }).choices[0]!.message.content
}

describe('event hooks', () => {
  const table: readonly (readonly [what: string, hooks: Hooks, expected: string])[] = [
    ['return nothing to keep an event', { event: () => undefined }, 'one two'],
    ['return another to replace it', mapText((value) => value.toUpperCase()), 'ONE TWO'],
    ['return null to drop it', { event: (_, event) => (event.type === 'text' && event.text.startsWith('one') ? null : undefined) }, 'two'],
    ['return several to expand it', { event: (_, event) => (event.type === 'text' ? [event, text('|')] : undefined) }, 'one |two|'],
    ['return none of several to drop it', { event: (_, event) => (event.type === 'text' ? [] : undefined) }, ''],
    ['hold back and release before the finish', holding((held) => `<${held}>`), '<one two>'],
  ] // prettier-ignore
  for (const [what, hooks, expected] of table)
    it(what, async () => {
      await using gateway = await harness({
        plugins: [hookPlugin('changes', hooks)],
        provider: answering(text('one '), text('two'), finish),
      })
      assert.equal(await streamedText(gateway), expected)
      assert.equal((await wholeText(gateway)) ?? '', expected)
    })

  it('run in reverse order of plugins, and what one adds goes through the next', async () => {
    const suffix = (name: string) => hookPlugin(name, mapText((value) => `${value}${name}`)) // prettier-ignore
    await using gateway = await harness({
      plugins: [suffix('a'), hookPlugin('doubles', { event: (_, e) => (e.type === 'text' ? [e, e] : undefined) }), suffix('c')],
      provider: answering(text('x'), finish),
    }) // prettier-ignore
    assert.equal(await streamedText(gateway), 'xcaxca')
  })

  it('get events they cannot change in place', async () => {
    const mutates = hookPlugin('mutates', {
      event(_, event) {
        if (event.type === 'text') (event as { text: string }).text = 'mutated'
      },
    })
    await using gateway = await harness({ plugins: [mutates] })
    const { status, outcome } = await gateway.send()
    assert.equal(status, 500)
    assert.equal(outcome.error?.plugin, 'mutates')
    assert.equal(outcome.error?.hook, 'event')
  })

  it('that fail with failure = "open" are passed over, elsewhere fail the answer', async () => {
    const broken = hookPlugin('broken', {
      event() {
        throw new Error('secret')
      },
    })
    await using closed = await harness({ plugins: [broken] })
    const { status, body } = await closed.send()
    assert.equal(status, 500)
    assert.ok(!JSON.stringify(body).includes('secret'))
    await using open = await harness({ plugins: [[broken, { failure: 'open' }]] })
    assert.equal(await streamedText(open), 'Hello there.')
    assert.ok(open.log.some(({ level, fields }) => level === 'warn' && fields['plugin'] === 'broken'))
  })

  it('that return what is no event fail the answer, and say why in the log', async () => {
    const table = [
      [async () => undefined, /must not be async/],
      [() => 'text', /no event/],
      [() => [text('x'), 5], /no event/],
      [() => ({ text: 'x' }), /no event/],
    ] as const
    for (const [event, why] of table)
      for (const hooks of [{ event }, { event: () => null, flush: event }]) {
        await using gateway = await harness({
          plugins: [hookPlugin('broken', hooks as unknown as Hooks)],
          provider: answering(text('secret'), finish),
        })
        const { status, body } = await gateway.send()
        assert.equal(status, 500)
        assert.ok(!JSON.stringify(body).includes('secret'))
        assert.match(JSON.stringify(gateway.log.map(({ fields }) => String((fields['error'] as Error)?.cause))), why)
      }
  })

  it('do not leak what they took out through logprobs', async () => {
    const provider = answering({ type: 'text', text: 'secret', logprobs: [{ token: 'secret', logprob: -1 }] }, finish)
    const redacts = hookPlugin(
      'redacts',
      mapText(() => '***'),
    )
    await using gateway = await harness({ plugins: [redacts], provider })
    assert.ok(!JSON.stringify((await gateway.send({ logprobs: true })).body).includes('secret'))
    const { records, text: all } = await gateway.stream({ logprobs: true })
    await drain(records)
    assert.ok(!all().includes('secret'))
    const keeps = hookPlugin(
      'keeps',
      mapText((value) => value),
    )
    await using kept = await harness({ plugins: [keeps], provider })
    assert.ok(JSON.stringify((await kept.send({ logprobs: true })).body).includes('"logprob":-1'))
  })
})

describe('flush', () => {
  it('of an outer plugin comes after that of an inner one, whose text it sees', async () => {
    await using gateway = await harness({
      plugins: [hookPlugin('outer', holding((held) => `(${held})`)), hookPlugin('inner', holding((held) => `[${held}]`))],
      provider: answering(text('one '), text('two'), finish),
    }) // prettier-ignore
    assert.equal(await streamedText(gateway), '([one two])')
  })

  it('comes before the finish and once', async () => {
    let flushed = 0
    const hooks = holding()
    const counts = hookPlugin('counts', {
      event: (...input) => hooks.event!(...input),
      flush(...input) {
        flushed++
        return hooks.flush!(...input)
      },
    })
    const seen: string[] = []
    const observer = hookPlugin('observer', { observe: (_, event) => void seen.push(event.type) })
    await using gateway = await harness({ plugins: [counts, observer] })
    await streamedText(gateway)
    assert.equal(flushed, 1)
    assert.deepEqual(seen, ['start', 'usage', 'text', 'finish'])
  })

  it('comes when the upstream is cut, before the error', async () => {
    const provider = fakeProvider(function* () {
      yield text('one ')
      yield text('two')
      throw gatewayError('provider_error', 'cut')
    })
    await using gateway = await harness({ plugins: [hookPlugin('holds', holding())], provider })
    const all = await drain((await gateway.stream()).records)
    assert.equal(chatText(all), 'one two')
    assert.equal((all.at(-1)!.data as { error: { code: string } }).error.code, 'provider_error')
  })

  it('comes when the upstream is cut behind a stream hook', async () => {
    const provider = fakeProvider(function* () {
      yield text('one ')
      yield text('two')
      throw gatewayError('provider_error', 'cut')
    })
    const passes = hookPlugin('passes', {
      async *stream(_, events) {
        yield* events
      },
    })
    await using gateway = await harness({ plugins: [hookPlugin('holds', holding()), passes], provider })
    assert.equal(await streamedText(gateway), 'one two')
  })

  it('does not come after the plugin has refused the answer', async () => {
    const held = holding()
    const refuses = hookPlugin('refuses', {
      event(exchange, event, params) {
        if (event.type === 'text' && event.text.includes('bad')) throw new GatewayError('content_blocked', 400, 'no')
        return held.event!(exchange, event, params)
      },
      flush: (...input) => held.flush!(...input),
    })
    await using gateway = await harness({
      plugins: [refuses],
      provider: answering({ type: 'reasoning', text: 'thinking' }, text('good '), text('bad'), finish),
    })
    const { records, text: all } = await gateway.stream()
    await drain(records)
    assert.ok(!all().includes('good'), 'what was held back of a refused answer went out')
  })

  it('comes at the last finish of several choices', async () => {
    const held = new Map<number, string>()
    const holds = hookPlugin('holds', {
      event(_, event) {
        if (event.type !== 'text') return undefined
        held.set(event.choice ?? 0, (held.get(event.choice ?? 0) ?? '') + event.text)
        return null
      },
      flush: () => [...held].map(([choice, value]) => text(value, choice)),
    })
    const provider = answering(text('a ', 0), { ...finish, choice: 0 }, text('b ', 1), text('b', 1), {
      ...finish,
      choice: 1,
    })
    await using gateway = await harness({ plugins: [holds], provider })
    const all = await drain((await gateway.stream({ n: 2 })).records)
    assert.equal(chatText(all, 0), 'a ')
    assert.equal(chatText(all, 1), 'b b')
    const reasons = all.flatMap(
      ({ data }) =>
        (data as { choices?: { index: number; finish_reason: string | null }[] }).choices
          ?.filter(({ finish_reason: reason }) => reason)
          .map(({ index }) => index) ?? [],
    )
    assert.deepEqual(reasons, [0, 1])
  })

  it('comes even if fewer choices come than were asked for', async () => {
    await using gateway = await harness({
      plugins: [hookPlugin('holds', holding())],
      provider: answering(text('only'), finish),
    })
    assert.equal(chatText(await drain((await gateway.stream({ n: 4 })).records)), 'only')
  })
})

describe('stream hooks', () => {
  const suffixing = (suffix: string): Hooks => ({
    async *stream(_, events) {
      for await (const event of events) yield event.type === 'text' ? { ...event, text: event.text + suffix } : event
    },
  })

  it('take their place among event hooks by the order of plugins', async () => {
    await using gateway = await harness({
      plugins: [
        hookPlugin(
          'a',
          mapText((value) => `${value}a`),
        ),
        hookPlugin('b', suffixing('b')),
        hookPlugin(
          'c',
          mapText((value) => `${value}c`),
        ),
        hookPlugin('d', suffixing('d')),
      ],
      provider: answering(text('x'), finish),
    })
    assert.equal(await streamedText(gateway), 'xdcba')
  })

  it('get text that an inner plugin held back', async () => {
    await using gateway = await harness({
      plugins: [hookPlugin('outer', suffixing('!')), hookPlugin('inner', holding())],
      provider: answering(text('one '), text('two'), finish),
    })
    assert.equal(await streamedText(gateway), 'one two!')
  })

  it('may replace a whole answer', async () => {
    const summary = hookPlugin('summary', {
      async *stream(_, events) {
        let length = 0
        for await (const event of events) {
          if (event.type === 'text') length += event.text.length
          else if (event.type === 'finish') {
            yield text(`${length} letters`)
            yield event
          } else yield event
        }
      },
    })
    await using gateway = await harness({ plugins: [summary] })
    assert.equal(await wholeText(gateway), '12 letters')
  })

  it('that fail are stamped; a failure of the upstream through them is not', async () => {
    const broken = hookPlugin('broken', {
      // oxlint-disable-next-line require-yield -- it fails before it gives anything
      async *stream() {
        throw new Error('secret')
      },
    })
    await using gateway = await harness({ plugins: [broken] })
    const { outcome, status } = await gateway.send()
    assert.equal(status, 500)
    assert.equal(outcome.plugin, 'broken')
    const provider = fakeProvider(function* () {
      yield text('x')
      throw gatewayError('provider_error', 'cut')
    })
    await using cut = await harness({ plugins: [hookPlugin('innocent', suffixing('!'))], provider })
    const { outcome: blamed } = await cut.send()
    assert.equal(blamed.error?.code, 'provider_error')
    assert.equal(blamed.plugin, undefined)
  })

  it('that throw nothing at all in the middle fail the answer all the same', async () => {
    const broken = hookPlugin('broken', {
      async *stream() {
        yield text('x')
        // oxlint-disable-next-line no-throw-literal, typescript/only-throw-error -- as a promise rejected without a reason
        throw undefined
      },
    })
    await using gateway = await harness({ plugins: [broken] })
    const stream = await gateway.stream()
    await drain(stream.records)
    assert.equal((await stream.outcome).status, 'failed')
    assert.doesNotMatch(stream.text(), /\[DONE\]/)
    assert.match(stream.text(), /"code":"internal_error"/)
  })

  it('may end the answer early: the upstream is cancelled', async () => {
    const enough = hookPlugin('enough', {
      async *stream(_, events) {
        for await (const event of events) {
          yield event
          if (event.type === 'text') break
        }
        yield { type: 'finish', reason: 'length' }
      },
    })
    const provider = fakeProvider(async function* (call) {
      yield text('x')
      await new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
    })
    await using gateway = await harness({ plugins: [enough], provider })
    assert.equal(await wholeText(gateway), 'x')
    assert.ok(provider.calls[0]!.signal.aborted)
    assert.equal(gateway.clock.pending, 0)
    assert.equal(gateway.outcomes[0]!.status, 'completed')
  })
})

describe('observers', () => {
  it('see what the client gets, after all changes', async () => {
    const seen: string[] = []
    const observer = hookPlugin('observer', {
      observe: (_, event) => void (event.type === 'text' && seen.push(event.text)),
    })
    const shouts = hookPlugin(
      'shouts',
      mapText((value) => value.toUpperCase()),
    )
    for (const plugins of [
      [observer, shouts],
      [shouts, observer],
    ]) {
      await using gateway = await harness({ plugins, provider: answering(text('one'), finish) })
      await streamedText(gateway)
      await wholeText(gateway)
    }
    assert.deepEqual(seen, ['ONE', 'ONE', 'ONE', 'ONE'])
  })

  it('change nothing by failing', async () => {
    const broken = hookPlugin('broken', {
      observe() {
        throw new Error('broken')
      },
    })
    await using gateway = await harness({ plugins: [broken] })
    assert.equal(await streamedText(gateway), 'Hello there.')
    assert.ok(gateway.log.some(({ level, fields }) => level === 'error' && fields['plugin'] === 'broken'))
  })
})

describe('a refusal of the answer', () => {
  const refuses = (word: string) =>
    hookPlugin('refuses', {
      event(_, event) {
        if (event.type === 'text' && event.text.includes(word))
          throw new GatewayError('content_blocked', 400, 'The answer was refused', { details: { categories: ['x'] } })
      },
    })

  it('before the first byte is a clean 400', async () => {
    await using gateway = await harness({ plugins: [refuses('Hello')], provider: answering(text('Hello'), finish) })
    for (const answer of [await gateway.stream(), await gateway.send()]) {
      assert.equal(answer.status, 400)
      assert.match(answer.headers['content-type']!, /application\/json/)
    }
  })

  it('in the middle is a clean 400 without streaming, a typed error and no [DONE] with it', async () => {
    await using gateway = await harness({ plugins: [refuses('there')] })
    assert.equal((await gateway.send()).status, 400)
    const chat = await gateway.stream()
    assert.equal(chat.status, 200)
    const all = await drain(chat.records)
    const { error } = all.at(-1)!.data as { error: { code: string; request_id: string } }
    assert.equal(error.code, 'content_blocked')
    assert.ok(error.request_id)
    assert.ok(!chat.text().includes('[DONE]'))
    const responses = await gateway.stream({}, { dialect: 'responses' })
    const types = (await drain(responses.records)).map(({ event }) => event)
    assert.deepEqual(types.slice(-2), ['error', 'response.failed'])
    assert.ok(!responses.text().includes('[DONE]'))
    const outcome = await responses.outcome
    assert.equal(outcome.plugin, 'refuses')
    assert.equal(outcome.error?.hook, 'event')
    assert.ok(gateway.provider.calls.every((call) => call.ended || call.signal.aborted))
  })
})

describe('back-pressure', () => {
  it('reaches the provider: nothing is read ahead of the client', async () => {
    let made = 0
    const provider = fakeProvider(function* () {
      for (; made < 1_000; made++) yield text(`${made} `)
      yield finish
    })
    const passes = hookPlugin(
      'passes',
      mapText((value) => value),
    )
    await using gateway = await harness({ plugins: [passes], provider })
    const { records, abort, outcome } = await gateway.stream()
    for (let read = 0; read < 10; read++) await records.next()
    for (let turns = 0; turns < 20; turns++) await turn()
    assert.ok(made < 20, `${made} events were read for 10 records`)
    abort()
    await outcome
  })

  it('does not delay: each event goes out before the next comes', async () => {
    const gates = [gate(), gate(), gate()]
    const provider = fakeProvider(async function* () {
      for (const [index, { promise }] of gates.entries()) {
        await promise
        yield text(`${index}`)
      }
      yield finish
    })
    const passes = hookPlugin(
      'passes',
      mapText((value) => value),
    )
    await using gateway = await harness({ plugins: [passes], provider })
    const opening = gateway.stream()
    gates[0]!.open()
    const { records } = await opening
    const seen: string[] = []
    for (const [index] of gates.entries()) {
      gates[index]!.open()
      while (seen.length <= index) {
        const record = (await records.next()).value!
        const piece = chatText([record])
        if (piece !== '') seen.push(piece)
      }
    }
    assert.deepEqual(seen, ['0', '1', '2'])
    await drain(records)
  })
})

describe('response hooks, whatever comes', () => {
  it('give the same text streamed and not, however it is cut and held', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.constantFrom('hold', 'upper', 'double', 'stream'), { maxLength: 4 }),
        async (pieces, kinds) => {
          const plugins = kinds.map((kind, index) =>
            hookPlugin(
              `${kind}-${index}`,
              {
                hold: holding((held) => `<${held}>`),
                upper: mapText((value) => value.toUpperCase()),
                double: { event: (_, event) => (event.type === 'text' ? [event, event] : undefined) } satisfies Hooks,
                stream: {
                  async *stream(_, events) {
                    yield* events
                  },
                } satisfies Hooks,
              }[kind],
            ),
          )
          let expected = pieces
          for (const kind of kinds.toReversed()) {
            if (kind === 'hold') expected = [`<${expected.join('')}>`]
            if (kind === 'upper') expected = expected.map((piece) => piece.toUpperCase())
            if (kind === 'double') expected = expected.flatMap((piece) => [piece, piece])
          }
          await using gateway = await harness({
            plugins,
            provider: answering(...pieces.map((piece) => text(piece)), finish),
          })
          assert.equal(await streamedText(gateway), expected.join(''))
          assert.equal(await wholeText(gateway), expected.join(''))
        },
      ),
      { numRuns: 30 },
    )
  })
})
