/** The parts of context compression on their own: pieces, units, the choice of what stays, counting and cutting. */

import assert from 'node:assert/strict'
import { after, describe, it, test } from 'node:test'
import type { GenerateRequest, Message, Part, Target } from '@hadrian/core/plugin'
import { isGatewayError } from '@hadrian/core/plugin'
import * as fc from 'fast-check'
import { compress } from '../../plugins/context-compression/compress.ts'
import { cutText } from '../../plugins/context-compression/cut-text.ts'
import { countableOf, surelyFits } from '../../plugins/context-compression/message-texts.ts'
import { middleOut, smallestCut } from '../../plugins/context-compression/middle-out.ts'
import type { Candidate } from '../../plugins/context-compression/middle-out.ts'
import { limitedMessages, roomOf, tokenizerOf } from '../../plugins/context-compression/target-room.ts'
import type { TargetRoom } from '../../plugins/context-compression/target-room.ts'
import { longestPiece, piecesOf } from '../../plugins/context-compression/text-pieces.ts'
import { TokenCounter } from '../../plugins/context-compression/token-counter.ts'
import { unitsOf } from '../../plugins/context-compression/units.ts'

const counter = new TokenCounter()
after(() => counter.close())
const counting = { counter, encoding: 'o200k_base' as const, signal: new AbortController().signal }

const count = async (text: string): Promise<number> => (await counter.count([text], 'o200k_base', counting.signal))[0]!

function say(role: Message['role'], ...parts: readonly (string | Part)[]): Message {
  return { role, content: parts.map((part) => (typeof part === 'string' ? { type: 'text', text: part } : part)) }
}

function call(id: string, input = '{}'): Part {
  return { type: 'tool_call', id, name: 'f', arguments: input }
}

function result(toolCallId: string, text = 'done'): Message {
  return { role: 'tool', content: [{ type: 'tool_result', toolCallId, content: [{ type: 'text', text }] }] }
}

function requestOf(messages: readonly Message[], more: Partial<GenerateRequest> = {}): GenerateRequest {
  return { operation: 'generate', dialect: 'chat', messages, stream: false, extra: {}, ...more }
}

const target: Target = { provider: 'p', model: 'gpt-4o', name: 'p/gpt-4o', requested: 'm' }

function roomFor(tokens: number, messages = Infinity): TargetRoom {
  return {
    contextLength: tokens,
    outputTokens: 0,
    inputTokens: tokens,
    countedTokens: tokens,
    messages,
    encoding: 'o200k_base',
  }
}

/** Characters that tokenizers find hard, halves of characters among them. */
const hardText = fc
  .array(fc.constantFrom('a', 'word ', ' ', '\n', '漢', '😀', '\ud83d', '\ude00', 'é', '<|endoftext|>', '"', '\0'), {
    maxLength: 600,
  })
  .map((parts) => parts.join(''))

describe('pieces of a text', () => {
  test('join to the text, are short, and part no character', () => {
    fc.assert(
      fc.property(hardText, fc.integer({ min: 2, max: 700 }), (text, longest) => {
        const pieces = [...piecesOf(text, longest)]
        assert.equal(pieces.join(''), text)
        for (const [index, piece] of pieces.entries()) {
          assert.ok(piece.length > 0 && piece.length <= longest)
          const joint = (pieces[index - 1]?.at(-1) ?? '') + piece[0]!
          assert.ok(!/[\ud800-\udbff][\udc00-\udfff]/.test(joint), 'a character is parted')
        }
      }),
    )
  })

  for (const [name, text] of Object.entries({
    'one letter': 'x'.repeat(1_000_000),
    emoji: '😀'.repeat(500_000),
    'no blanks': '漢'.repeat(1_000_000),
    'nothing but blanks': ' '.repeat(1_000_000),
    'halves of characters': '\ud83d'.repeat(1_000_000),
  }))
    it(`are so many and no more that counting a million characters takes linear time: ${name}`, () => {
      let pieces = 0
      for (const piece of piecesOf(text)) {
        pieces++
        assert.ok(piece.length <= longestPiece)
      }
      assert.ok(pieces <= text.length / (longestPiece - 64) + 1)
    })
})

describe('counting', () => {
  it('gives the tokens of OpenAI for each vocabulary', async () => {
    const text = 'Hello, Wörld! 漢字 and <|endoftext|>'
    const [now] = await counter.count([text], 'o200k_base', counting.signal)
    const [before] = await counter.count([text], 'cl100k_base', counting.signal)
    const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base')
    const old = await import('gpt-tokenizer/encoding/cl100k_base')
    assert.equal(now, countTokens(text, { disallowedSpecial: new Set() }))
    assert.equal(before, old.countTokens(text, { disallowedSpecial: new Set() }))
  })

  it('takes marks of the model for text', async () => {
    assert.ok((await count('<|endoftext|>')) > 1)
  })

  it('errs by less than 1 % because of the pieces, never by much below', async () => {
    const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base')
    const text = Array.from({ length: 3_000 }, (_, index) => `Line ${index} has some words, ${index * 7}.\n`).join('')
    const exact = countTokens(text)
    const counted = await count(text)
    assert.ok(Math.abs(counted - exact) / exact < 0.01, `${counted} for ${exact}`)
  })

  it('counts texts longer than one batch as their parts', async () => {
    const text = 'one two three '.repeat(20_000)
    const counts = await counter.count([text, 'one', '', text], 'o200k_base', counting.signal)
    assert.deepEqual([counts[1], counts[2]], [1, 0])
    assert.equal(counts[0], counts[3])
    assert.ok(counts[0]! >= 60_000 && counts[0]! <= 60_400, String(counts[0]))
  })

  it('stops between batches when the client goes away', async () => {
    const controller = new AbortController()
    const counted = counter.count(['word '.repeat(200_000)], 'o200k_base', controller.signal)
    controller.abort(new Error('gone'))
    await assert.rejects(counted, /gone/)
  })

  it('fails what waits when the thread is closed, and starts another for the next', async () => {
    const own = new TokenCounter()
    const waiting = assert.rejects(own.count(['a'], 'o200k_base', counting.signal), /closed/)
    await own.close()
    await waiting
    assert.deepEqual(await own.count(['a'], 'o200k_base', counting.signal), [1])
    await own.close()
  })
})

describe('cutting a text', () => {
  it('leaves both ends and a mark, within the tokens', async () => {
    const text = Array.from({ length: 2_000 }, (_, index) => `word${index}`).join(' ')
    const cut = await cutText(text, 200, counting)
    assert.ok(cut.tokens <= 200 && cut.tokens > 150, String(cut.tokens))
    assert.equal(cut.tokens, await count(cut.text))
    const [head = '', tail = ''] = cut.text.split(/\n\[\.\.\. \d+ characters left out \.\.\.\]\n/)
    assert.ok(head.length > 100 && text.startsWith(head))
    assert.ok(tail.length > 100 && text.endsWith(tail))
    const gone = Number(/(\d+) characters/.exec(cut.text)![1])
    assert.equal(head.length + gone + tail.length, text.length)
  })

  it('cuts again where the mark makes more tokens of its neighbours, and gives up at last', async () => {
    /** One token for each character, and more for a text that holds a mark between two others. */
    const joining = (more: number): Parameters<typeof cutText>[2]['counter'] => ({
      count: (texts) => Promise.resolve(texts.map((each) => each.length + (/x\n\[/.test(each) ? more : 0))),
      take: (text, { tokens }) => Promise.resolve({ length: Math.min(text.length, tokens), tokens }),
    })
    const text = 'x'.repeat(5_000)
    const cut = await cutText(text, 200, { ...counting, counter: joining(30) })
    assert.ok(cut.tokens <= 200 && cut.text.startsWith('xx') && cut.text.endsWith('xx'), JSON.stringify(cut))
    const hopeless = await cutText(text, 200, { ...counting, counter: joining(1_000) })
    assert.equal(hopeless.text, '[... 5000 characters left out ...]')
  })

  test('never leaves more than the tokens, whatever the text', async () => {
    await fc.assert(
      fc.asyncProperty(hardText, fc.integer({ min: smallestCut, max: 400 }), async (text, tokens) => {
        const cut = await cutText(text.repeat(3), tokens, counting)
        assert.ok(cut.tokens <= tokens)
        assert.equal(await count(cut.text), cut.tokens)
      }),
      { numRuns: 60 },
    )
  })
})

describe('units', () => {
  const keeps = (messages: readonly Message[]): unknown =>
    unitsOf(messages).map(({ messages: indexes, keep }) => `${indexes.join(' ')}: ${keep}`)

  it('are messages, and answers with their tool calls and results', () => {
    assert.deepEqual(
      keeps([
        say('system', 's'),
        say('user', 'a'),
        say('assistant', 'b', call('1'), call('2')),
        result('1'),
        result('2'),
        say('assistant', 'c'),
        say('user', 'd'),
        say('assistant', 'e'),
        say('developer', 'f'),
        say('user', 'g'),
      ]),
      ['0: always', '1: always', '2 3 4: rest', '5: rest', '6: rest', '7: rest', '8: always', '9: always'],
    )
  })

  it('keep the steps of the last turn longer than the rest, and its ends for good', () => {
    assert.deepEqual(
      keeps([
        say('user', 'a'),
        say('assistant', 'b'),
        say('user', 'context'),
        say('user', 'task'),
        say('assistant', call('1')),
        result('1'),
        say('assistant', call('2')),
        result('2'),
      ]),
      ['0: always', '1: rest', '2: turn', '3: always', '4 5: turn', '6 7: always'],
    )
  })

  it('join a result to its call wherever it stands, the last of its id', () => {
    assert.deepEqual(
      keeps([
        say('user', 'a'),
        say('assistant', call('0')),
        say('user', 'meanwhile'),
        result('0'),
        say('assistant', call('0')),
        result('0'),
        say('user', 'b'),
      ]),
      ['0: always', '1 3: rest', '2: rest', '4 5: rest', '6: always'],
    )
  })

  it('hold items of the Responses API together: thinking, calls and outputs, native ones too', () => {
    const native = (value: Record<string, unknown>): Message => ({
      role: String(value['type']).endsWith('_output') ? 'tool' : 'assistant',
      content: [{ type: 'native', dialect: 'responses', value }],
    })
    assert.deepEqual(
      keeps([
        say('user', 'a'),
        say('assistant', { type: 'reasoning', encrypted: 'x' }),
        say('assistant', call('1')),
        result('1'),
        native({ type: 'computer_call', call_id: '2', id: 'i' }),
        say('user', 'wait'),
        native({ type: 'computer_call_output', call_id: '2' }),
        say('user', 'b'),
      ]),
      ['0: always', '1 2 3: rest', '4 6: rest', '5: rest', '7: always'],
    )
  })

  test('hold every message once, in order, and every call with its result', () => {
    const message = fc.oneof(
      fc.constantFrom('system', 'user', 'assistant', 'developer').map((role) => say(role as Message['role'], 'x')),
      fc.constantFrom('1', '2', '3').map((id) => say('assistant', call(id))),
      fc.constantFrom('1', '2', '3').map((id) => result(id)),
    )
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 30 }), (messages) => {
        const units = unitsOf(messages)
        assert.deepEqual(units.flatMap((unit) => unit.messages).toSorted((a, b) => a - b), [...messages.keys()]) // prettier-ignore
        const unitAt = messages.map((_, index) => units.findIndex((unit) => unit.messages.includes(index)))
        const calls = new Map<string, number>()
        for (const [index, { content }] of messages.entries())
          for (const part of content) {
            if (part.type === 'tool_call') calls.set(part.id, index)
            const caller = part.type === 'tool_result' ? calls.get(part.toolCallId) : undefined
            if (caller !== undefined) assert.equal(unitAt[index], unitAt[caller])
          }
      }),
    )
  })

  it('of calls and results that refer to each other across thousands of messages are found in linear time', () => {
    const messages = Array.from({ length: 50_000 }, (_, index) =>
      index % 2 === 0 ? say('assistant', call(String(index))) : result(String(Math.max(0, index - 20_001))),
    )
    assert.ok(unitsOf(messages).length >= 1)
  })
})

describe('the choice of what stays', () => {
  const candidate = (tokens: number, more: Partial<Candidate> = {}): Candidate => ({
    keep: 'rest',
    tokens,
    messages: 1,
    cuttable: [tokens],
    ...more,
  })
  const shown = (candidates: readonly Candidate[], tokens: number, messages = Infinity): string => {
    const choice = middleOut(candidates, { tokens, messages })
    if ('needs' in choice) return `needs ${choice.needs.tokens} ${choice.needs.messages}`
    return choice.fates.map((fate) => (fate.kept ? (fate.cutTo ?? '+') : '-')).join(' ')
  }
  const always = (tokens: number, cuttable = [tokens]): Candidate => candidate(tokens, { keep: 'always', cuttable })

  it('is everything if it fits', () => {
    assert.equal(shown([always(10), candidate(5), candidate(5), always(10)], 30), '+ + + +')
  })

  it('leaves the middle out', () => {
    const middle = Array.from({ length: 6 }, () => candidate(10))
    assert.equal(shown([always(10), ...middle, always(10)], 60), '+ + + - - + + +')
    assert.equal(shown([always(10), ...middle, always(10)], 50), '+ + - - - + + +')
  })

  it('limits the number of messages: half head, half tail', () => {
    assert.equal(shown(Array.from({ length: 9 }, () => candidate(1)), 100, 4), '+ + - - - - - + +') // prettier-ignore
  })

  it('drops older messages before steps of the last turn, and cuts before it refuses', () => {
    const turn = candidate(10, { keep: 'turn' })
    assert.equal(shown([always(10), candidate(10), turn, turn, always(10)], 40), '+ - + + +')
    assert.equal(shown([always(10), candidate(1), turn, turn, always(10)], 30), '+ - - + +')
    assert.equal(shown([always(10, []), always(500), candidate(10), always(400)], 410), '200 200 - 200')
    assert.equal(shown([always(10, []), always(500), candidate(10), always(50)], 410), '350 350 - 350')
  })

  it('cuts what is too large even alone to half of the room, and passes over what cannot be cut', () => {
    assert.equal(shown([always(10), candidate(10), candidate(9_000), candidate(10), always(10)], 420), '+ + 200 + +')
    assert.equal(
      shown([always(10), candidate(10), candidate(9_000, { cuttable: [] }), candidate(10), always(10)], 420),
      '+ + - + +',
    )
  })

  it('says what it would need', () => {
    assert.equal(shown([always(100, []), always(500)], 120), `needs ${100 + smallestCut} 2`)
    assert.equal(shown([always(1), always(1)], 120, 1), 'needs 2 2')
  })

  test('fits, keeps what must be kept, and drops one run of the middle of each kind', () => {
    const any = fc.record({
      keep: fc.constantFrom('always', 'turn', 'rest'),
      sizes: fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 3 }),
      fixed: fc.integer({ min: 0, max: 100 }),
      messages: fc.integer({ min: 1, max: 3 }),
    })
    fc.assert(
      fc.property(
        fc.array(any, { maxLength: 12 }),
        fc.integer({ min: -10, max: 3_000 }),
        fc.integer({ min: 1, max: 30 }),
        (given, tokens, messages) => {
          const candidates = given.map(({ keep, sizes, fixed, messages: count }): Candidate => ({
            keep,
            tokens: fixed + sizes.reduce((sum, size) => sum + size, 0),
            messages: count,
            cuttable: sizes,
          }))
          const choice = middleOut(candidates, { tokens, messages })
          if ('needs' in choice) {
            assert.ok(choice.needs.tokens > tokens || choice.needs.messages > messages)
            return
          }
          let used = 0
          let usedMessages = 0
          for (const [index, fate] of choice.fates.entries()) {
            const { keep, cuttable, tokens: size, messages: own } = candidates[index]!
            if (!fate.kept) {
              assert.notEqual(keep, 'always')
              continue
            }
            usedMessages += own
            const { cutTo = Infinity } = fate
            assert.ok(cutTo >= smallestCut)
            used += size
            for (const each of cuttable) used -= Math.max(0, each - cutTo)
          }
          assert.ok(used <= tokens, `${used} of ${tokens}`)
          assert.ok(usedMessages <= messages)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})

describe('a compressed conversation', () => {
  const text = fc.oneof(
    fc.integer({ min: 1, max: 60 }).map((words) => 'word '.repeat(words)),
    hardText.map((each) => each.slice(0, 400)),
  )
  const turn = fc.oneof(
    fc.tuple(fc.constantFrom('user', 'assistant', 'system'), text).map(([role, said]) => [say(role as Message['role'], said)]), // prettier-ignore
    fc
      .tuple(text, fc.string({ minLength: 1, maxLength: 3 }))
      .map(([said, id]) => [
        say('assistant', { type: 'reasoning', text: said, signature: 'signed' }, call(id, said)),
        result(id, said),
      ]),
  )
  const conversation = fc.array(turn, { minLength: 1, maxLength: 14 }).map((turns) => turns.flat())

  test('fits or is refused; keeps order, pairs, and what it does not cut; is left alone the second time', async () => {
    const seen = { same: 0, compressed: 0, refused: 0 }
    await fc.assert(
      fc.asyncProperty(conversation, fc.integer({ min: 60, max: 1_200 }), async (messages, tokens) => {
        const room = { ...counting, room: roomFor(tokens) }
        const request = requestOf(messages)
        let done: Awaited<ReturnType<typeof compress>>
        try {
          done = await compress(request, target, room)
        } catch (error) {
          assert.ok(isGatewayError(error) && error.status === 400 && error.retryable === true)
          assert.ok((error.details?.['smallest_input_tokens'] as number) > tokens)
          seen.refused++
          return
        }
        if (!done) {
          seen.same++
          return
        }
        seen.compressed++
        assert.ok(done.tokensAfter <= tokens && done.tokensBefore > tokens)
        assert.equal(await compress(done.request, target, room), undefined)
        // Every message is one of the given ones or a cut one of the same role, in the given order.
        let from = 0
        let cut = 0
        for (const message of done.request.messages) {
          let at = messages.indexOf(message, from)
          if (at === -1) {
            cut++
            at = messages.findIndex((each, index) => index >= from && each.role === message.role)
            assert.ok(JSON.stringify(message).includes('characters left out'))
          }
          assert.notEqual(at, -1)
          from = at + 1
        }
        assert.equal(cut, done.messagesCut)
        for (const message of messages)
          if (message.role === 'system') assert.ok(done.request.messages.includes(message))
        const ids = (type: 'tool_call' | 'tool_result'): string[] =>
          done.request.messages.flatMap(({ content }) =>
            content.flatMap((part) =>
              part.type === type
                ? [part.type === 'tool_call' ? part.id : (part as { toolCallId: string }).toolCallId]
                : [],
            ),
          )
        assert.deepEqual(ids('tool_call'), ids('tool_result'))
        const roles = (list: readonly Message[]): number => list.filter(({ role }) => role === 'user').length
        assert.ok(roles(messages) === 0 || roles(done.request.messages) > 0)
      }),
      { numRuns: 150 },
    )
    assert.ok(seen.same > 5 && seen.compressed > 20 && seen.refused > 5, JSON.stringify(seen))
  })

  it('counts what stands around it: tools, the format of the answer, unknown fields', async () => {
    const messages = [say('user', 'first'), say('assistant', 'word '.repeat(300)), say('user', 'last')]
    assert.equal(await compress(requestOf(messages), target, { ...counting, room: roomFor(500) }), undefined)
    for (const more of [
      { tools: [{ type: 'function', name: 'f', description: 'word '.repeat(50) }] },
      { responseFormat: { type: 'json_schema', name: 's', schema: { description: 'word '.repeat(300) } } },
      { extra: { prediction: 'word '.repeat(300) } },
    ] as const) {
      const done = await compress(requestOf(messages, more), target, { ...counting, room: roomFor(500) })
      assert.ok(done && done.messagesDropped + done.messagesCut === 1 && done.tokensAfter <= 500)
      assert.ok(done.tokensBefore > 500, JSON.stringify(more).slice(0, 40))
    }
  })

  it('cuts the results of tools, never the arguments of calls, instructions or thinking', async () => {
    const long = 'word '.repeat(2_000)
    const messages = [say('user', 'first'), say('assistant', call('1')), result('1', long)]
    const done = await compress(requestOf(messages), target, { ...counting, room: roomFor(500) })
    assert.equal(done?.messagesCut, 1)
    assert.match(JSON.stringify(done?.request.messages[2]), /characters left out/)
    for (const stuck of [
      [say('user', 'first'), say('assistant', call('1', long)), result('1')],
      [say('system', long), say('user', 'first')],
      [say('user', 'first'), say('assistant', { type: 'reasoning', text: long, signature: 's' })],
    ])
      await assert.rejects(
        compress(requestOf(stuck), target, { ...counting, room: roomFor(500) }),
        /cannot be compressed/,
      )
  })

  it('has at most so many messages, half head, half tail', async () => {
    const messages = Array.from({ length: 41 }, (_, index) => say(index % 2 === 0 ? 'user' : 'assistant', `m${index}`))
    const done = await compress(requestOf(messages), target, { ...counting, room: roomFor(100_000, 20) })
    assert.deepEqual(done?.request.messages, [...messages.slice(0, 10), ...messages.slice(31)])
  })
})

describe('the bound that needs no tokenizer', () => {
  test('says that a request fits only if it does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(hardText, { minLength: 1, maxLength: 4 }), async (texts) => {
        const request = requestOf(texts.map((text) => say('user', text)))
        const counts = await counter.count(texts, 'cl100k_base', counting.signal)
        const fixed = request.messages.reduce((sum, message) => sum + countableOf(message).fixedTokens, 0)
        const tokens = counts.reduce((sum, each) => sum + each, 0) + fixed
        assert.equal(surelyFits(request, tokens - 1), false)
      }),
      { numRuns: 60 },
    )
    assert.ok(surelyFits(requestOf([say('user', 'x'.repeat(900))]), 1_000))
  })
})

describe('the room of a target', () => {
  const options = { marginPercent: 30, claudeMessageLimit: 1_000, providerType: 'openai' }
  const at = (model: string, info: Target['info'], request: Partial<GenerateRequest> = {}, type = 'openai') =>
    roomOf({ ...target, model, ...(info && { info }) }, requestOf([], request), { ...options, providerType: type })

  it('is unknown where the context is', () => {
    assert.equal(at('gpt-4o', undefined), undefined)
    assert.equal(at('gpt-4o', { id: 'x' }), undefined)
  })

  it('leaves the output that the client asks for, or what a usual answer takes', () => {
    const info = { id: 'x', contextLength: 8_000 }
    assert.equal(at('gpt-4o', info, { maxOutputTokens: 3_000 })?.countedTokens, 5_000)
    assert.equal(at('gpt-4o', info)?.countedTokens, 7_000)
    assert.equal(at('gpt-4o', { ...info, maxOutputTokens: 500 })?.countedTokens, 7_500)
    assert.equal(at('gpt-4o', info, { maxOutputTokens: 9_000 })?.countedTokens, -1_000)
    // Anthropic's API is always sent a limit, which must fit too.
    const claude = { id: 'x', contextLength: 8_000, maxOutputTokens: 2_000 }
    assert.equal(at('claude-x', claude, {}, 'anthropic')?.inputTokens, 6_000)
  })

  it('has a margin where the tokenizer is not the model’s own', () => {
    const info = { id: 'x', contextLength: 1_300 }
    assert.equal(at('gpt-4o', info, { maxOutputTokens: 0 })?.countedTokens, 1_300)
    assert.equal(at('llama-3', info, { maxOutputTokens: 0 })?.countedTokens, 1_000)
  })

  it('has a limit of messages for Claude, wherever it is', () => {
    const info = { id: 'x', contextLength: 1_300 }
    assert.equal(at('anthropic.claude-3-haiku', info)?.messages, 1_000)
    assert.equal(at('x', info, {}, 'anthropic')?.messages, 1_000)
    assert.equal(at('gpt-4o', info)?.messages, Infinity)
  })

  for (const [model, encoding, isExact] of [
    ['gpt-4o-mini', 'o200k_base', true],
    ['gpt-4.1', 'o200k_base', true],
    ['gpt-5-nano', 'o200k_base', true],
    ['openai/o3-mini', 'o200k_base', true],
    ['o1', 'o200k_base', true],
    ['gpt-4', 'cl100k_base', true],
    ['gpt-4-turbo', 'cl100k_base', true],
    ['gpt-3.5-turbo', 'cl100k_base', true],
    ['meta/llama-3-8b', 'o200k_base', false],
    ['claude-3-opus', 'o200k_base', false],
    ['gpt-4all', 'o200k_base', false],
  ] as const)
    it(`goes by the name of the model: ${model}`, () => {
      assert.deepEqual(tokenizerOf(model), { encoding, isExact })
    })

  it('counts as messages what a provider would see: not instructions, answers and results in one go', () => {
    const messages = [say('system', 's'), say('user', 'a'), say('user', 'b'), say('assistant', 'c'), say('assistant', call('1')), result('1'), result('2'), say('assistant', 'd')] // prettier-ignore
    assert.equal(limitedMessages(messages), 5)
  })
})
