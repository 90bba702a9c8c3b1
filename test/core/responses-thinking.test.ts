import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject, ReasoningPart, StreamEvent } from '../../core/contract/canonical.ts'
import { responses } from '../../core/dialects/responses.ts'
import { checkStream } from '../open-responses.ts'
import { contextOf, finish, streamed, whole } from './responses-exchange.ts'

/** The reasoning parts a client gives back when it sends the output of an answer as its next input. */
function returned(events: readonly StreamEvent[], body: JsonObject = { input: 'Hi' }): ReasoningPart[] {
  const { output } = checkStream(streamed(events, contextOf(body)))
  const { messages } = responses.decode({ input: JSON.parse(JSON.stringify(output)) as unknown })
  return messages.flatMap(({ content }) => content.filter((part) => part.type === 'reasoning'))
}

describe('thinking', () => {
  const format = 'anthropic-claude-v1'

  it('signatures and redacted blocks of another provider survive a turn', () => {
    const events: StreamEvent[] = [
      { type: 'reasoning', block: 0, text: 'Let me ', format },
      { type: 'reasoning', block: 0, text: 'think', format },
      { type: 'reasoning', block: 0, signature: 'sig==', format },
      { type: 'reasoning', block: 1, encrypted: 'redacted', format },
      { type: 'tool_call', index: 0, id: 'call_1', name: 'f', arguments: '{}' },
      { type: 'finish', reason: 'tool_calls' },
    ]
    assert.deepEqual(returned(events), [
      { type: 'reasoning', text: 'Let me think', signature: 'sig==', format },
      { type: 'reasoning', encrypted: 'redacted', format },
    ])
    assert.deepEqual(whole(events)['output'], checkStream(streamed(events))['output'])
  })

  it('encrypted blocks of OpenAI are shown only if the client asked, with their own id', () => {
    const own = { format: 'openai-responses-v1', id: 'rs_up' }
    const events: StreamEvent[] = [
      { type: 'reasoning', block: 0, summary: 'One', ...own },
      { type: 'reasoning', block: 1, summary: 'Two', ...own },
      { type: 'reasoning', block: 2, text: 'raw', ...own },
      { type: 'reasoning', block: 2, encrypted: 'gAAA', ...own },
      { type: 'text', text: 'Done', block: 3 },
      finish,
    ]
    const item = {
      id: 'rs_up',
      type: 'reasoning',
      status: 'completed',
      summary: [
        { type: 'summary_text', text: 'One' },
        { type: 'summary_text', text: 'Two' },
      ],
      content: [{ type: 'reasoning_text', text: 'raw' }],
    }
    const hidden = checkStream(streamed(events))
    assert.deepEqual((hidden['output'] as unknown[])[0], item)
    const body = { input: 'Hi', include: ['reasoning.encrypted_content'] }
    const shown = checkStream(streamed(events, contextOf(body)))
    assert.deepEqual((shown['output'] as unknown[])[0], { ...item, encrypted_content: 'gAAA' })
    assert.deepEqual(whole(events, contextOf(body))['output'], shown['output'])
  })

  it('thinking is left out where the client excludes it', () => {
    const events: StreamEvent[] = [
      { type: 'reasoning', text: 'Hm', block: 0 },
      { type: 'text', text: 'Hi', block: 1 },
      finish,
    ]
    const { output } = checkStream(streamed(events, contextOf({ input: 'Hi', reasoning: { exclude: true } })))
    assert.deepEqual(
      (output as JsonObject[]).map(({ type }) => type),
      ['message'],
    )
  })

  it('any list of blocks comes back as it was', () => {
    const text = fc.string({ minLength: 1 })
    const block = fc
      .record({ text, signature: fc.string(), encrypted: fc.string(), id: fc.uuid() }, { requiredKeys: [] })
      .filter(({ text, signature, encrypted }) => [text, signature, encrypted].some((value) => value !== undefined))
    fc.assert(
      fc.property(fc.uniqueArray(block, { selector: ({ id }) => id ?? Math.random() }), (blocks) => {
        const parts = blocks.map((fields): ReasoningPart => ({ type: 'reasoning', ...fields, format }))
        const events = parts.map((part, index): StreamEvent => ({ ...part, block: index }))
        assert.deepEqual(returned([...events, finish]), parts)
      }),
    )
  })

  it('a forged seal is none', () => {
    for (const seal of [
      'hadrian.reasoning.v1.',
      'hadrian.reasoning.v1.bnVsbA',
      'hadrian.reasoning.v1.eyJwYXJ0cyI6WzFdfQ',
    ]) {
      const { messages } = responses.decode({ input: [{ type: 'reasoning', summary: [], encrypted_content: seal }] })
      assert.deepEqual(messages[0]?.content, [{ type: 'reasoning', encrypted: seal, format: 'openai-responses-v1' }])
    }
  })
})
