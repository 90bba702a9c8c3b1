import assert from 'node:assert/strict'
import { answerOf } from '../contract/answer.ts'
import type { Answer } from '../contract/answer.ts'
import type { StreamEvent } from '../contract/canonical.ts'
import type { HttpProvider, WireRequest } from '../contract/provider.ts'
import { EventSplitter, record } from '../dialects/event-stream.ts'
import type { RecordedAnswer } from './provider-suite.ts'

/** A long recording is split at this many places in two; byte by byte still covers every border. */
const mostSplits = 400

/** A sound answer: no error, each choice finished once, nothing of it after its finish, no token counts below zero. */
export function checkWhole(events: readonly StreamEvent[]): void {
  const { error, usage, choices } = answerOf(events)
  assert.equal(error, undefined)
  assert.ok(
    events.some(({ type }) => type === 'finish' || type === 'part'),
    'the answer does not finish',
  )
  const finished = new Set<number>()
  for (const event of events) {
    if (!('choice' in event || event.type === 'finish')) continue
    const choice = ('choice' in event && event.choice) || 0
    assert.ok(!finished.has(choice), `a ${event.type} event follows the finish of choice ${choice}`)
    if (event.type === 'finish') finished.add(choice)
  }
  for (const [name, count] of Object.entries(usage ?? {}))
    if (typeof count === 'number') assert.ok(count >= 0, `usage.${name} is ${count}`)
  for (const { content } of choices)
    for (const part of content)
      if (part.type === 'tool_call') assert.ok(part.id && part.name, 'a tool call needs an id and a name')
}

/** Every split of the bytes in two, with LF and with CRLF, gives the events of the unsplit stream. */
export function checkSplits(provider: HttpProvider, { records = [] }: RecordedAnswer, wire: WireRequest): void {
  const text = records.map(({ data, event }) => record(data, event)).join('')
  for (const bytes of [Buffer.from(text), Buffer.from(text.replaceAll('\n', '\r\n'))]) {
    const expected = decodeBytes(provider, wire, [bytes])
    checkWhole(expected)
    for (const at of splits(bytes.length))
      assert.deepEqual(
        decodeBytes(provider, wire, [bytes.subarray(0, at), bytes.subarray(at)]),
        expected,
        `split at byte ${at}`,
      )
    const single = Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1))
    assert.deepEqual(decodeBytes(provider, wire, single), expected, 'byte by byte')
  }
}

/** Every place, or so many that steps of changing width cover the whole. */
function* splits(length: number): Generator<number> {
  const step = length <= mostSplits ? 1 : Math.ceil(length / mostSplits)
  for (let at = 1; at < length; at += step === 1 ? 1 : 1 + ((at * 7) % (2 * step))) yield at
}

/** A body that ends after any record is decoded without a throw, and again alike: decoders share nothing. */
export function checkCuts(provider: HttpProvider, { records = [] }: RecordedAnswer, wire: WireRequest): void {
  for (let kept = 0; kept <= records.length; kept++) {
    const decode = (): readonly StreamEvent[] => {
      const decoder = provider.decoder(wire)
      return [...records.slice(0, kept).flatMap((message) => decoder.push(message)), ...decoder.end()]
    }
    assert.deepEqual(decode(), decode(), `after ${kept} records two decoders differ`)
  }
}

/** The same answer, whole and streamed, adds up to the same. */
export function checkAgreement(
  provider: HttpProvider,
  { body, records = [] }: RecordedAnswer,
  wire: WireRequest,
): void {
  const decoder = provider.decoder(wire)
  const streamed = [...records.flatMap((message) => decoder.push(message)), ...decoder.end()]
  assert.deepEqual(comparable(answerOf(streamed)), comparable(answerOf(provider.decode(body, wire))))
}

/** What a client sees of an answer. Native fields differ by nature: a stream has others than a body. */
function comparable({ choices, usage, model }: Answer): unknown {
  return {
    model,
    usage,
    choices: choices.map(({ index, finishReason, content }) => ({
      index,
      finishReason,
      content: content.map(({ extra: _, ...part }) => part).filter((part) => part.type !== 'text' || part.text !== ''),
    })),
  }
}

function decodeBytes(provider: HttpProvider, wire: WireRequest, pieces: readonly Uint8Array[]): readonly StreamEvent[] {
  const splitter = new EventSplitter()
  const decoder = provider.decoder(wire)
  const events = pieces.flatMap((piece) => splitter.push(piece).flatMap((message) => decoder.push(message)))
  for (const message of splitter.end()) events.push(...decoder.push(message))
  return [...events, ...decoder.end()]
}
