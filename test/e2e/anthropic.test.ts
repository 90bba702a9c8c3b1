/** Conversations with Anthropic's Messages API through OpenAI's client: what must come back to it byte for byte, does. */

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import type OpenAI from 'openai'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { streamed, whole } from './scripted-upstream.ts'
import type { Json } from './scripted-upstream.ts'
import { messageBody, messageRecords } from './wire-answers.ts'

let running: RunningGateway
let openai: OpenAI

before(async () => {
  running = await startGateway()
})
beforeEach(() => {
  openai = running.client()
})
after(() => running.close())

const model = 'anthropic/claude-sonnet-4-5'
const signature = `EqQBCkYIBxgCKkBz${'Zm9v+/YmFy'.repeat(40)}==`
/** What the model says before its tools run: all kinds of thinking, text, and two calls. */
const thinkingTurn: readonly Json[] = [
  { type: 'thinking', thinking: 'Köln first, then 大阪.\n\n"Quotes" \\ and 🌍', signature },
  { type: 'redacted_thinking', data: `redacted${signature}` },
  { type: 'text', text: 'Let me look. ' },
  { type: 'tool_use', id: 'toolu_one', name: 'get_weather', input: { city: 'Köln' } },
  { type: 'tool_use', id: 'toolu_two', name: 'get_weather', input: { city: '大阪' } },
]
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }

function sentMessages(): Json[] {
  return running.upstream.last().json['messages'] as Json[]
}

/** The assistant turn and the results, as the upstream has to see them. */
function checkTurn(): void {
  const [user, assistant, results] = sentMessages()
  assert.equal(user?.['role'], 'user')
  assert.equal(assistant?.['role'], 'assistant')
  assert.deepEqual(assistant['content'], thinkingTurn)
  assert.deepEqual(
    ((results?.['content'] ?? []) as Json[]).map(({ type, tool_use_id }) => [type, tool_use_id]),
    [
      ['tool_result', 'toolu_one'],
      ['tool_result', 'toolu_two'],
    ],
  )
  const sent = running.upstream.last().bytes.toString()
  assert.ok(sent.includes(JSON.stringify(signature)))
  assert.equal((running.upstream.last().json['thinking'] as Json)['type'], 'enabled')
}

type ChatMessage = OpenAI.ChatCompletionMessageParam

describe('a tool turn with thinking', () => {
  const tools = [{ type: 'function' as const, function: { name: 'get_weather', parameters } }]
  const question: ChatMessage = { role: 'user', content: 'Weather?' }
  const results: ChatMessage[] = ['toolu_one', 'toolu_two'].map((id) => ({
    role: 'tool',
    tool_call_id: id,
    content: 'warm',
  }))
  const thinking = { reasoning: { max_tokens: 2048 } } as object

  it('goes through a chat client', async () => {
    running.upstream.answer(whole(messageBody({}, thinkingTurn)), whole(messageBody({ text: 'Warm.' })))
    const first = await openai.chat.completions.create({ model, messages: [question], tools, ...thinking })
    const message = first.choices[0]!.message as OpenAI.ChatCompletionMessage & {
      reasoning?: string
      reasoning_details?: Json[]
    }
    assert.equal(first.choices[0]?.finish_reason, 'tool_calls')
    assert.equal(message.reasoning, thinkingTurn[0]!['thinking'])
    assert.equal(message.reasoning_details?.[0]?.['signature'], signature)
    assert.equal(message.content, 'Let me look. ')
    await openai.chat.completions.create({ model, messages: [question, message, ...results], tools, ...thinking })
    checkTurn()
  })

  it('goes through a streaming chat client', async () => {
    running.upstream.answer(streamed(messageRecords({}, thinkingTurn)), whole(messageBody({ text: 'Warm.' })))
    const stream = await openai.chat.completions.create({
      model,
      messages: [question],
      tools,
      stream: true,
      ...thinking,
    })
    let content = ''
    const details: Json[] = []
    const calls: { id: string; type: 'function'; function: { name: string; arguments: string } }[] = []
    for await (const chunk of stream) {
      const delta = (chunk.choices[0]?.delta ?? {}) as OpenAI.ChatCompletionChunk.Choice.Delta & {
        reasoning_details?: Json[]
      }
      content += delta.content ?? ''
      for (const detail of delta.reasoning_details ?? []) merge(details, detail)
      for (const call of delta.tool_calls ?? []) {
        calls[call.index] ??= { id: '', type: 'function', function: { name: '', arguments: '' } }
        calls[call.index]!.id += call.id ?? ''
        calls[call.index]!.function.name += call.function?.name ?? ''
        calls[call.index]!.function.arguments += call.function?.arguments ?? ''
      }
    }
    const message = { role: 'assistant', content, reasoning_details: details, tool_calls: calls } as ChatMessage
    await openai.chat.completions.create({ model, messages: [question, message, ...results], tools, ...thinking })
    checkTurn()
  })

  it('goes through a streaming chat client that keeps every piece of the thinking', async () => {
    running.upstream.answer(streamed(messageRecords({}, thinkingTurn)), whole(messageBody({ text: 'Warm.' })))
    const stream = await openai.chat.completions.create({
      model,
      messages: [question],
      tools,
      stream: true,
      ...thinking,
    })
    const details: Json[] = []
    for await (const chunk of stream)
      details.push(...((chunk.choices[0]?.delta as { reasoning_details?: Json[] })?.reasoning_details ?? []))
    const tool_calls = thinkingTurn
      .filter(({ type }) => type === 'tool_use')
      .map(({ id, name, input }) => ({ id, type: 'function', function: { name, arguments: JSON.stringify(input) } }))
    const message = {
      role: 'assistant',
      content: 'Let me look. ',
      reasoning_details: details,
      tool_calls,
    } as ChatMessage
    await openai.chat.completions.create({ model, messages: [question, message, ...results], tools, ...thinking })
    checkTurn()
  })

  for (const stream of [false, true])
    it(`goes through a ${stream ? 'streaming ' : ''}responses client`, async () => {
      const answer = stream ? streamed(messageRecords({}, thinkingTurn)) : whole(messageBody({}, thinkingTurn))
      running.upstream.answer(answer, whole(messageBody({ text: 'Warm.' })))
      const input: OpenAI.Responses.ResponseInputItem[] = [{ role: 'user', content: 'Weather?' }]
      const body = {
        model,
        tools: [{ type: 'function' as const, name: 'get_weather', parameters, strict: false }],
        include: ['reasoning.encrypted_content' as const],
        ...thinking,
      }
      const first = stream
        ? await openai.responses.stream({ ...body, input }).finalResponse()
        : await openai.responses.create({ ...body, input })
      assert.ok(first.output.some(({ type }) => type === 'reasoning'))
      await openai.responses.create({
        ...body,
        input: [
          ...input,
          ...first.output.map((item) => {
            const { parsed_arguments: _, ...plain } = item as unknown as Json
            return plain as unknown as OpenAI.Responses.ResponseInputItem
          }),
          ...['toolu_one', 'toolu_two'].map((call_id) => ({
            type: 'function_call_output' as const,
            call_id,
            output: 'warm',
          })),
        ],
      })
      checkTurn()
    })

  /** Joins the pieces of one detail, as clients do. */
  function merge(details: Json[], piece: Json): void {
    const last = details.at(-1)
    if (!last || last['index'] !== piece['index'] || last['type'] !== piece['type']) {
      details.push({ ...piece })
      return
    }
    for (const [name, value] of Object.entries(piece))
      last[name] = ['text', 'summary', 'data'].includes(name)
        ? `${(last[name] ?? '') as string}${value as string}`
        : (value ?? last[name])
  }
})

describe('a prompt', () => {
  const marks = { cache_control: { type: 'ephemeral', ttl: '1h' } }

  it('keeps its cache marks, those of the system too', async () => {
    const content = [{ type: 'text', text: 'Long text', ...marks }]
    const body = {
      model,
      messages: [
        {
          role: 'system',
          content: [
            { type: 'text', text: 'Rules', ...marks },
            { type: 'text', text: 'More' },
          ],
        },
        { role: 'user', content },
      ],
      tools: [{ type: 'function', function: { name: 'f', parameters }, ...marks }],
    }
    await openai.chat.completions.create(body as never)
    const { json } = running.upstream.last()
    assert.deepEqual(json['system'], [
      { type: 'text', text: 'Rules', ...marks },
      { type: 'text', text: 'More' },
    ])
    assert.deepEqual(sentMessages()[0]?.['content'], content)
    assert.deepEqual((json['tools'] as Json[])[0]?.['cache_control'], marks.cache_control)
  })

  it('tells how much of it came from the cache', async () => {
    const usage = {
      input_tokens: 10,
      cache_creation_input_tokens: 200,
      cache_read_input_tokens: 3000,
      output_tokens: 4,
    }
    running.upstream.answer(whole({ ...messageBody(), usage }))
    const answer = await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'Hi' }] })
    assert.equal(answer.usage?.prompt_tokens, 3210)
    assert.equal(answer.usage?.prompt_tokens_details?.cached_tokens, 3000)
    assert.equal(answer.usage?.total_tokens, 3214)
  })

  const data = Buffer.from('%PDF-1.4 not really').toString('base64')
  const image = Buffer.from('\x89PNG not really', 'latin1').toString('base64')

  it('has images and PDFs, in chat', async () => {
    await openai.chat.completions.create({
      model,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${image}` } },
            { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
            { type: 'file', file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${data}` } },
          ],
        },
      ],
    })
    checkMedia(sentMessages()[0]?.['content'] as Json[])
  })

  it('has images and PDFs, in responses', async () => {
    await openai.responses.create({
      model,
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is it?' },
            { type: 'input_image', image_url: `data:image/png;base64,${image}`, detail: 'auto' },
            { type: 'input_image', image_url: 'https://example.com/a.png', detail: 'auto' },
            { type: 'input_file', filename: 'a.pdf', file_data: `data:application/pdf;base64,${data}` },
          ],
        },
      ],
    })
    checkMedia(sentMessages()[0]?.['content'] as Json[])
  })

  function checkMedia(content: readonly Json[]): void {
    assert.deepEqual(
      content.map(({ type, source }) => [type, source]),
      [
        ['text', undefined],
        ['image', { type: 'base64', media_type: 'image/png', data: image }],
        ['image', { type: 'url', url: 'https://example.com/a.png' }],
        ['document', { type: 'base64', media_type: 'application/pdf', data }],
      ],
    )
    assert.equal(content.at(-1)?.['title'], 'a.pdf')
  }
})

describe('a call', () => {
  it('carries the credentials and the version of the API', async () => {
    await openai.responses.create({ model, input: 'Hi' })
    const { headers, path } = running.upstream.last()
    assert.equal(path, '/anthropic/v1/messages')
    assert.equal(headers['x-api-key'], 'upstream-key')
    assert.equal(headers['anthropic-version'], '2023-06-01')
    assert.equal(headers.authorization, undefined)
  })

  it('with tool_choice none sends no tools', async () => {
    await openai.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'Hi' }],
      tools: [{ type: 'function', function: { name: 'f', parameters } }],
      tool_choice: 'none',
    })
    assert.equal(running.upstream.last().json['tools'], undefined)
  })
})

describe('an end of an answer', () => {
  const reasons = {
    end_turn: 'stop',
    stop_sequence: 'stop',
    max_tokens: 'length',
    refusal: 'content_filter',
    pause_turn: 'stop',
    something_new: 'stop',
  }
  for (const [raw, reason] of Object.entries(reasons))
    it(`${raw} is ${reason}`, async () => {
      running.upstream.answer(whole({ ...messageBody(), stop_reason: raw }))
      const answer = await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'Hi' }] })
      assert.equal(answer.choices[0]?.finish_reason, reason)
      running.upstream.answer(streamed(messageRecords().map((each) => each.replace('"end_turn"', `"${raw}"`))))
      const final = await openai.responses.stream({ model, input: 'Hi' }).finalResponse()
      assert.equal(final.status, reason === 'stop' ? 'completed' : 'incomplete')
    })
})
