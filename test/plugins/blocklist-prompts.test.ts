/** Every place of a request in which a prompt can hide, on every endpoint, in front of every kind of upstream. */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { textEvents } from '@hadrian/core/testing'
import type { Json } from '../e2e/scripted-upstream.ts'
import { checkRefusal, startGuarded, word } from './guarded-gateway.ts'
import type { Guarded } from './guarded-gateway.ts'
import { hello, models, paths, prompts } from './guarded-prompts.ts'
import type { Endpoint } from './guarded-prompts.ts'

let refusing: Guarded
let redacting: Guarded

before(async () => {
  refusing = await startGuarded('refuse')
  redacting = await startGuarded('redact')
  for (const gateway of [refusing, redacting]) gateway.script(() => textEvents('Hello there.'))
})
after(() => Promise.all([refusing.close(), redacting.close()]))

/** How many calls an upstream has had, and what the last was. */
function sentTo({ upstream, transport }: Guarded, model: string): { readonly count: number; readonly last: string } {
  if (model.startsWith('fake/'))
    return { count: transport.calls.length, last: JSON.stringify(transport.calls.at(-1)?.request) }
  return { count: upstream.calls.length, last: upstream.calls.at(-1)?.bytes.toString('utf8') ?? '' }
}

/** Everything a text says, base64 and JSON inside of it too. */
function plain(text: string): string {
  const inside = [...text.matchAll(/[A-Za-z0-9+/]{16,}={0,2}/g)].map(([found]) =>
    Buffer.from(found, 'base64').toString(),
  )
  return [text, ...inside]
    .join('\n')
    .replaceAll(/\\+u([\da-f]{4})/gi, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
}

for (const endpoint of Object.keys(paths) as Endpoint[])
  for (const model of models[endpoint])
    describe(`a prompt to ${endpoint} for ${model}`, () => {
      for (const [place, body] of Object.entries(prompts[endpoint]))
        for (const stream of endpoint === 'embeddings' ? [false] : [false, true]) {
          const name = `${place}${stream ? ', streamed' : ''}`
          it(`is refused before it leaves: ${name}`, async () => {
            const before = sentTo(refusing, model).count
            const answer = await refusing.post(paths[endpoint], { model, ...body, ...(stream && { stream }) })
            const text = await answer.text()
            assert.equal(answer.status, 400, text)
            assert.match(answer.headers.get('content-type') ?? '', /^application\/json/)
            checkRefusal((JSON.parse(text) as Json)['error'])
            assert.equal(sentTo(refusing, model).count, before)
          })

          it(`leaves without the word: ${name}`, async () => {
            const before = sentTo(redacting, model).count
            const answer = await redacting.post(paths[endpoint], { model, ...body, ...(stream && { stream }) })
            assert.equal(answer.status, 200, await answer.text())
            const { count, last } = sentTo(redacting, model)
            assert.equal(count, before + 1)
            assert.ok(!plain(last).toLowerCase().includes(word), last)
          })
        }
    })

describe('a body in which a key stands twice', () => {
  const hidden =
    '{"model":"native/m","messages":[{"role":"user","content":"Falcon"}],"messages":[{"role":"user","content":"Hello"}]}'
  for (const [name, body] of [
    ['before', hidden],
    ['escaped', hidden.replace('"messages"', String.raw`"m\u0065ssages"`)],
    ['inside of a message', '{"model":"native/m","messages":[{"role":"user","content":"Falcon","content":"Hello"}]}'],
  ] as const)
    it(`is sent as it was judged: ${name}`, async () => {
      const answer = await refusing.post(paths.chat, body)
      assert.equal(answer.status, 200)
      const sent = refusing.upstream.last().bytes.toString('utf8')
      assert.ok(!sent.includes('Falcon'), sent)
      assert.deepEqual(refusing.upstream.last().json['messages'], [hello])
    })

  it('is refused for what counts', async () => {
    const swapped = hidden.replace('Falcon', 'x').replace('Hello', 'Falcon')
    const answer = await refusing.post(paths.chat, swapped)
    checkRefusal(((await answer.json()) as Json)['error'])
  })
})

/** Keys of strings that steer or point; nobody would read a prompt out of one word there. */
const steering = new Set([
  'type', 'id', 'call_id', 'tool_call_id', 'status', 'format', 'signature', 'encrypted_content', 'detail', 'url',
  'image_url', 'video_url', 'file_url', 'file_id', 'data', 'file_data', 'user', 'safety_identifier', 'prompt_cache_key',
  'service_tier', 'verbosity', 'stop', 'effort', 'generate_summary', 'metadata',
]) // prettier-ignore

function* stringPaths(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (typeof value === 'string') yield path
  else if (typeof value === 'object' && value !== null)
    for (const [name, entry] of Object.entries(value)) yield* stringPaths(entry, [...path, name])
}

function replaced(value: unknown, [name, ...rest]: readonly string[], text: string): unknown {
  if (name === undefined) return text
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as Json) }) as Json
  Object.defineProperty(copy, name, {
    value: replaced(copy[name], rest, text),
    enumerable: true,
    writable: true,
    configurable: true,
  })
  return copy
}

describe('every string of every request of the corpus', () => {
  for (const dialect of ['chat', 'responses'] as const) {
    const directory = new URL(`../fixtures/requests/${dialect}/`, import.meta.url)
    for (const file of readdirSync(directory))
      it(`is judged, or does not reach the upstream: ${dialect}/${file}`, async () => {
        const body = JSON.parse(readFileSync(new URL(file, directory), 'utf8')) as Json
        for (const path of stringPaths(body)) {
          if (path[0] === 'model' || path.some((name) => steering.has(name))) continue
          if (path.at(-2) === 'reasoning' && path.at(-1) === 'summary') continue
          const before = refusing.upstream.calls.length
          const changed = { ...(replaced(body, path, 'a falcon') as Json), model: 'native/m' }
          const answer = await refusing.post(paths[dialect], changed)
          const said = await answer.text()
          if (refusing.upstream.calls.length === before) assert.equal(answer.status, 400, said)
          else assert.ok(!refusing.upstream.last().bytes.includes(word), `${path.join('.')} reached the upstream`)
        }
      })
  }
})
