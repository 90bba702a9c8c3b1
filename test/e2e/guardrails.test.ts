/**
 * The same fixtures before several guardrails, on every endpoint, in front of every kind of upstream, streamed and not,
 * over HTTP and by the service that background work goes through: always the same verdict.
 */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { textEvents } from '@hadrian/core/testing'
import type { Dialect, JsonObject, PluginDefinition, StreamEvent } from '../../core/contract/plugin.ts'
import blocklist from '../../plugins/blocklist/index.ts'
import moderation from '../../plugins/moderation/index.ts'
import { checkStream } from '../open-responses.ts'
import { chat, requests, wires } from '../plugins/guarded-answers.ts'
import { checkClean } from '../plugins/guarded-gateway.ts'
import { models, prompts } from '../plugins/guarded-prompts.ts'
import { openModeration } from '../plugins/moderation-endpoint.ts'
import type { ModerationServer } from '../plugins/moderation-endpoint.ts'
import { openFile, startGuardedBy, ways } from './guarded-ways.ts'
import type { GuardedBy, Said, Way } from './guarded-ways.ts'
import { cutEvery, streamed, whole } from './scripted-upstream.ts'
import type { Json } from './scripted-upstream.ts'
import { chunks, saidIn } from './stream-client.ts'

let endpoint: ModerationServer
before(async () => {
  endpoint = await openModeration()
})
after(() => endpoint.close())

const rules = { violence: { words: ['falcon'] } }
/** Windows that are shorter than the texts, so that streams are cut by them too. */
const asking = (): JsonObject => ({ api_key: 'secret', base_url: endpoint.url, window_chars: 4, overlap_chars: 16 })

/** Each has to say the same: that this is `violence`. */
const guardrails: Readonly<Record<string, readonly [PluginDefinition, () => JsonObject]>> = {
  blocklist: [blocklist, () => ({ words: ['falcon'], categories: ['violence'] })],
  'moderation by rules': [moderation, () => ({ engine: 'local', rules })],
  'moderation by an endpoint': [moderation, asking],
  'moderation alongside the call': [moderation, () => ({ ...asking(), mode: 'alongside' })],
}

const dialects = ['chat', 'responses', 'completions', 'embeddings'] as const
const streams = (dialect: Dialect): readonly boolean[] => (dialect === 'embeddings' ? [false] : [false, true])

/** The refusal in an answer: its error, or the one at the end of a stream that had begun. */
function refusalIn({ status, isStream, text }: Said, dialect: Dialect, stream: boolean): Json {
  checkClean(text, isStream)
  if (!isStream) {
    assert.equal(status, 400, text)
    return (JSON.parse(text) as Json)['error'] as Json
  }
  assert.ok(stream && status === 200 && !text.includes('[DONE]'), text)
  if (dialect !== 'responses') return chunks(text).at(-1)?.['error'] as Json
  // The response object has code and message only; the record of the failure has all of it.
  const final = checkStream(text)
  assert.equal(final['status'], 'failed')
  const error = chunks(text).find(({ type }) => type === 'error') as Json
  return { ...error, ...(error['error'] as Json | undefined), code: (final['error'] as Json)['code'] }
}

for (const [name, [definition, options]] of Object.entries(guardrails))
  describe(name, () => {
    const plugin = definition.name
    const isAlongside = name.includes('alongside')
    let guarded: GuardedBy
    before(async () => {
      guarded = await startGuardedBy([definition, options()])
    })
    after(() => guarded.close())

    function checkVerdict(said: Said, dialect: Dialect, stream: boolean): void {
      const { code, details } = refusalIn(said, dialect, stream)
      assert.equal(code, 'content_blocked', said.text)
      if (details) assert.deepEqual(details, { plugin, categories: ['violence'] })
    }

    async function eachWay(
      dialect: Dialect,
      check: (ask: (body: Json) => Promise<Said>, stream: boolean, way: Way) => Promise<void>,
    ): Promise<void> {
      for (const way of ways)
        for (const stream of streams(dialect))
          await check((body) => guarded.ask(way, dialect, { ...body, ...(stream && { stream }) }), stream, way)
    }

    for (const dialect of dialects)
      for (const model of models[dialect])
        it(`refuses prompts of ${dialect} for ${model}, wherever the word stands`, async () => {
          guarded.script(() => textEvents('Hello there.'))
          for (const [place, body] of Object.entries(prompts[dialect]))
            await eachWay(dialect, async (ask, stream, way) => {
              const before = guarded.sent()
              const said = await ask({ model, ...body })
              assert.equal(said.status, 400, `${place}, ${way}, ${stream}: ${said.text}`)
              checkVerdict(said, dialect, stream)
              // Alongside the call the upstream may have it, which is what the operator chose.
              if (!isAlongside) assert.equal(guarded.sent(), before, place)
            })
        })

    for (const dialect of dialects)
      for (const model of models[dialect])
        it(`lets good ones pass, and their answers: ${dialect} for ${model}`, async () => {
          guarded.script(() => textEvents('Hello there.'))
          const { body } = requests[dialect]
          const seen = new Set<string>()
          await eachWay(dialect, async (ask, stream) => {
            const said = await ask({ model, ...body })
            assert.equal(said.status, 200, said.text)
            assert.equal(said.isStream, stream)
            if (stream) assert.ok(said.text.includes('[DONE]'), said.text)
            seen.add(String(stream))
          })
          assert.equal(seen.size, streams(dialect).length)
        })

    for (const { wire, routes, answers } of wires)
      for (const [dialect, model] of routes)
        it(`refuses answers of ${model} to ${dialect}, wherever the word stands`, async () => {
          for (const [place, { body, records }] of Object.entries(answers))
            await eachWay(dialect, async (ask, stream, way) => {
              const packets = [records, [records.join('')], cutEvery(records.join(''), 7)]
              for (const pieces of stream ? packets : [records]) {
                guarded.upstream.answer(stream ? streamed(pieces) : whole(body))
                const said = await ask({ model, ...requests[dialect].body })
                try {
                  checkVerdict(said, dialect, stream)
                } catch (error) {
                  throw new Error(`${place} on ${wire}, ${way}, ${stream ? 'streamed' : 'whole'}`, { cause: error })
                }
              }
            })
        })

    for (const dialect of ['chat', 'responses'] as const) {
      const model = dialect === 'chat' ? 'native/m' : 'chat-only/m'
      it(`refuses a word that is cut in pieces and bytes: ${dialect}`, async () => {
        for (const pieces of [
          ['Grüße, so the fal', 'con flies. 世界'],
          ['世界 f', 'a', 'l', 'c', 'o', 'n'],
          ['世界 ', 'falcon', '! 世界'],
        ]) {
          const [head, middle, ...ends] = chat({ content: pieces[0] }).records as [string, string, ...string[]]
          const records = [head, middle, ...pieces.slice(1).map((content) => chat({ content }).records[1]!), ...ends]
          for (const way of ways)
            for (const size of [1, 2, 3, 1000]) {
              guarded.upstream.answer(streamed(cutEvery(records.join(''), size)))
              const said = await guarded.ask(way, dialect, { model, stream: true, ...requests[dialect].body })
              checkVerdict(said, dialect, true)
              assert.ok(!said.isStream || !saidIn(said.text).includes('fal'), said.text)
            }
        }
      })
    }

    it('refuses a file of text behind a URL, which the gateway fetches for the upstream', async () => {
      const file = await openFile('The falcon is in here.')
      try {
        for (const [dialect, body] of [
          ['chat', { messages: [{ role: 'user', content: [{ type: 'file', file: { file_data: file.url } }] }] }],
          ['responses', { input: [{ role: 'user', content: [{ type: 'input_file', file_url: file.url }] }] }],
        ] as const)
          await eachWay(dialect, async (ask, stream) => {
            const before = guarded.sent()
            checkVerdict(await ask({ model: 'anthropic/claude-sonnet-4-5', ...body }), dialect, stream)
            if (!isAlongside) assert.equal(guarded.sent(), before)
          })
        assert.ok(file.fetched() > 0)
      } finally {
        file.close()
      }
    })

    it('refuses the second of several choices, and what a transport of its own says', async () => {
      const events: readonly (readonly StreamEvent[])[] = [
        [
          { type: 'text', text: 'Hello' },
          { type: 'text', choice: 1, text: 'the fal' },
          { type: 'text', text: ' there' },
          { type: 'text', choice: 1, text: 'con' },
          { type: 'finish', reason: 'stop' },
          { type: 'finish', choice: 1, reason: 'stop' },
        ],
        [
          { type: 'reasoning', block: 0, text: 'the fal' },
          { type: 'reasoning', block: 1, text: 'con' },
          { type: 'finish', reason: 'stop' },
        ],
        [
          { type: 'tool_call', index: 0, id: 'a', name: 'find', arguments: '{"a":"fal' },
          { type: 'tool_call', index: 1, id: 'b', name: 'find', arguments: String.raw`{"a":"f\u0061` },
          { type: 'tool_call', index: 0, arguments: 'se"}' },
          { type: 'tool_call', index: 1, arguments: 'lcon"}' },
          { type: 'finish', reason: 'tool_calls' },
        ],
      ]
      for (const each of events)
        for (const dialect of ['chat', 'responses'] as const) {
          guarded.script(() => [{ type: 'start' }, ...each])
          await eachWay(dialect, async (ask, stream) =>
            checkVerdict(await ask({ model: 'fake/fake-model', n: 2, ...requests[dialect].body }), dialect, stream),
          )
        }
    })

    it('leaves the upstream when it refuses a stream', { timeout: 10_000 }, async () => {
      const records = chat({ content: 'so the falcon flies on and on and on' }).records
      for (const [index, way] of ways.entries()) {
        const before = guarded.upstream.calls.length
        guarded.upstream.answer(streamed(records.slice(0, 2), { ending: 'stall' }))
        const said = await guarded.ask(way, 'chat', { model: 'native/m', stream: true, ...requests.chat.body })
        checkVerdict(said, 'chat', true)
        await guarded.upstream.calls[before]!.closed
        assert.equal(guarded.upstream.calls[before]!.finished(), false)
        assert.equal(guarded.upstream.calls.length, before + 1, String(index))
      }
    })
  })
