import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject, StreamEvent } from '../../core/contract/canonical.ts'
import { gatewayError } from '../../core/contract/errors.ts'
import { responses } from '../../core/dialects/responses.ts'
import { checkResponse, checkStream, recordsOf } from '../open-responses.ts'
import { contextOf, failure, finish, streamed, usage, whole } from './responses-exchange.ts'

/** Blocks one after another, the calls of one run interleaved, as providers send them. */
const blocksOfEvents = fc
  .array(
    fc.oneof(
      fc.record({ kind: fc.constant('text' as const), pieces: fc.array(fc.string()), refusal: fc.boolean() }),
      fc.record({
        kind: fc.constant('reasoning' as const),
        pieces: fc.array(fc.string()),
        signature: fc.option(fc.string(), { nil: undefined }),
      }),
      fc.record({
        kind: fc.constant('calls' as const),
        calls: fc.array(fc.array(fc.string()), { maxLength: 3 }),
        custom: fc.boolean(),
      }),
    ),
  )
  .map((blocks) => {
    let calls = 0
    return blocks.flatMap((block, number): StreamEvent[] => {
      switch (block.kind) {
        case 'text':
          return block.pieces.map((text) => ({
            type: 'text',
            text,
            block: number,
            ...(block.refusal && { refusal: true }),
          }))
        case 'reasoning': {
          const signature = block.signature === undefined ? [] : [{ signature: block.signature }]
          return [...block.pieces.map((text) => ({ text })), ...signature].map((fields) => ({
            type: 'reasoning',
            block: number,
            ...fields,
          }))
        }
        case 'calls': {
          const first = calls
          calls += block.calls.length
          const custom = block.custom && { custom: true }
          const starts = block.calls.map((_, at): StreamEvent => {
            return { type: 'tool_call', index: first + at, id: `call_${first + at}`, name: 'f', ...custom }
          })
          const longest = Math.max(0, ...block.calls.map((pieces) => pieces.length))
          const rest = Array.from({ length: longest }, (_, round) =>
            block.calls.flatMap((pieces, at): StreamEvent[] => {
              const piece = pieces[round]
              return piece === undefined ? [] : [{ type: 'tool_call', index: first + at, arguments: piece }]
            }),
          )
          return [...starts, ...rest.flat()]
        }
      }
    })
  })

const ending = fc.constantFrom('stop' as const, 'length' as const, 'tool_calls' as const, 'content_filter' as const)

describe('any sequence of events', () => {
  it('a stream is valid, and ends with what the whole answer is', () => {
    fc.assert(
      fc.property(blocksOfEvents, ending, (events, reason) => {
        const all: StreamEvent[] = [{ type: 'start' }, ...events, { type: 'finish', reason }]
        const { completed_at: _, ...final } = checkStream(streamed(all))
        const answer = whole(all)
        checkResponse(answer)
        const { completed_at: __, ...rest } = answer
        assert.deepEqual(final, rest)
      }),
    )
  })

  it('a stream is valid in whatever order blocks are mixed, and when it fails', () => {
    const mixed = fc.array(
      fc.oneof(
        fc.record({ type: fc.constant('text' as const), text: fc.string(), block: fc.nat(2), refusal: fc.boolean() }),
        fc.record({
          type: fc.constant('reasoning' as const),
          text: fc.string(),
          summary: fc.string(),
          block: fc.nat(2),
        }),
        fc.record({ type: fc.constant('reasoning' as const), id: fc.constantFrom('a', 'b'), encrypted: fc.string() }),
        fc.record({
          type: fc.constant('reasoning' as const),
          text: fc.string(),
          id: fc.constantFrom('a', 'b'),
          format: fc.constant('openai-responses-v1'),
        }),
        fc.record({
          type: fc.constant('tool_call' as const),
          index: fc.nat(2),
          arguments: fc.string(),
        }),
        fc.constant({
          type: 'part' as const,
          part: { type: 'native' as const, dialect: 'responses', value: { type: 'mcp_call', id: 'mcp_1' } },
        }),
        fc.constant({ type: 'part' as const, part: { type: 'text' as const, text: 'whole' } }),
        fc.constant({
          type: 'part' as const,
          part: { type: 'tool_call' as const, id: 'call_w', name: 'f', arguments: '{}' },
        }),
      ),
    )
    fc.assert(
      fc.property(mixed, ending, fc.boolean(), (events, reason, fails) => {
        if (!fails) checkStream(streamed([...events, { type: 'finish', reason }]))
        else {
          const writer = responses.writer(contextOf())
          checkStream(events.map((event) => writer.push(event)).join('') + writer.fail(failure))
        }
      }),
    )
  })
})

describe('streams handed through', () => {
  const source = recordsOf(streamed([{ type: 'text', text: 'Hi' }, finish]))
  const done = { data: '[DONE]', events: [] }
  const records = source.slice(0, -1).map(({ event, data }) => {
    const isLast = event === 'response.completed'
    return { event, data, events: isLast ? [finish] : [] }
  })

  it('records are unchanged, but the terminal one has cost and metadata', () => {
    const writer = responses.verbatimWriter(contextOf())
    const forwarded = [...records, done].map((record) => writer.push(record))
    assert.deepEqual(
      forwarded.slice(0, -2),
      source.slice(0, -2).map(({ event, data }) => `event: ${event}\ndata: ${data}\n\n`),
    )
    assert.deepEqual(forwarded.slice(-2), ['', ''])
    const stream = forwarded.join('') + writer.end({ usage: { ...usage, costMicros: 7 }, metadata: { a: 1 } })
    const final = checkStream(stream)
    assert.equal((final['usage'] as JsonObject)['cost'], 0.000007)
    assert.deepEqual(final['hadrian_metadata'], { a: 1 })
  })

  it('event lines are added where the upstream sends none', () => {
    const writer = responses.verbatimWriter(contextOf())
    const text = records.map(({ data, events }) => writer.push({ data, events })).join('') + writer.end({ usage })
    checkStream(text)
  })

  it('a failure goes on with the numbers of the upstream', () => {
    for (let cut = 0; cut < records.length; cut++) {
      const writer = responses.verbatimWriter(contextOf())
      const error: StreamEvent = { type: 'error', error: gatewayError('provider_error', 'cut') }
      const begun = records.slice(0, cut).map((record) => writer.push(record))
      assert.equal(writer.push({ event: 'error', data: '{}', events: [error] }), '')
      if (cut === 1) continue
      checkStream(begun.join('') + writer.fail(failure))
    }
  })

  it('thinking is left out where the client excludes it', () => {
    const writer = responses.verbatimWriter(contextOf({ input: 'Hi', reasoning: { exclude: true } }))
    const batches: StreamEvent[][] = [[{ type: 'reasoning', text: 'Hm' }], [{ type: 'text', text: 'Hi' }], [finish]]
    const text = batches.map((events) => writer.push({ data: '{}', events })).join('') + writer.end({ usage })
    const { output } = checkStream(text)
    assert.deepEqual(
      (output as JsonObject[]).map(({ type }) => type),
      ['message'],
    )
  })
})
