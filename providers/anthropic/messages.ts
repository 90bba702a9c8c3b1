import { type GenerateRequest, type Message, type Part, turns } from '@hadrian/core/provider'

import { type AssistantTurn, assistantTurn, ToolIds } from './assistant-turn.ts'
import { contentBlock } from './content.ts'
import type { LossList } from './loss-list.ts'
import { userTurn } from './user-turn.ts'
import { type Block, isThinking, type WireMessage } from './wire.ts'

/** The conversation on the wire. */
export interface Conversation {
  readonly system: readonly Block[]
  /** Begins with a user message and alternates strictly. */
  readonly messages: readonly WireMessage[]
}

type Side =
  | { readonly role: 'user'; readonly parts: readonly Part[] }
  | ({ readonly role: 'assistant' } & AssistantTurn)

/** Encodes all messages: prompts of the system, and turns that alternate as the API demands. */
export function encodeMessages(request: GenerateRequest, losses: LossList): Conversation {
  if (request.messages.some((message) => message.name !== undefined && message.role !== 'tool')) {
    losses.unsupported('messages.name', 'the Messages API knows no names of participants')
  }
  const { prompts, talk } = splitPrompts(request.messages, losses)
  const system = prompts.flatMap((message) => systemBlocks(message, losses))
  const messages = wireMessages(sides(talk, losses), losses)
  const [first] = messages
  if (first?.role === 'user') return { system, messages }
  if (first) {
    losses.adjusted('messages', 'a user message was put before the first, which is an assistant message')
    return {
      system,
      messages: [{ role: 'user', content: [{ type: 'text', text: '(start of conversation)' }] }, ...messages],
    }
  }
  losses.adjusted('messages', 'there is no user message; the last system message was sent as one')
  const content = system.at(-1) ?? { type: 'text', text: '(empty message)' }
  return { system: system.slice(0, -1), messages: [{ role: 'user', content: [content] }] }
}

/** True if the last assistant turn called tools and did not think first: the API then refuses to turn thinking on. */
export function isUnthinkingToolLoop(messages: readonly WireMessage[]): boolean {
  const last = messages.findLast((message) => message.role === 'assistant')
  return last !== undefined && last.content.some((block) => block.type === 'tool_use') && !isThinking(last.content[0])
}

/** Names of the tools called in the conversation. */
export function calledTools(messages: readonly WireMessage[]): ReadonlySet<string> {
  const names = messages.flatMap((message) =>
    message.content.filter((block) => block.type === 'tool_use').map((block) => String(block['name'])),
  )
  return new Set(names)
}

/**
 * System and developer messages apart from the others. One in the middle of the conversation keeps its authority in the
 * system prompt, at the end, where it spoils no cached prefix of the prompts before it.
 */
function splitPrompts(messages: readonly Message[], losses: LossList): { prompts: Message[]; talk: Message[] } {
  const prompts: Message[] = []
  const talk: Message[] = []
  for (const message of messages) {
    if (message.role !== 'system' && message.role !== 'developer') talk.push(message)
    else {
      prompts.push(message)
      if (talk.length > 0) {
        losses.adjusted('messages', `a ${message.role} message inside the conversation was moved to the system prompt`)
      }
    }
  }
  return { prompts, talk }
}

function systemBlocks(message: Message, losses: LossList): readonly Block[] {
  const blocks = message.content.map((part) => {
    if (part.type === 'text' || part.type === 'native') return contentBlock(part, losses)
    losses.dropped(`a ${part.type === 'media' ? part.kind : part.type} part`, 'a system prompt is text only')
    return undefined
  })
  return blocks.filter((block) => block !== undefined)
}

/** Joins messages into turns. Assistant turns of which nothing is left vanish, so user turns around them join too. */
function sides(talk: readonly Message[], losses: LossList): readonly Side[] {
  const ids = new ToolIds()
  const joined: Side[] = []
  let userParts: Part[] | undefined
  for (const message of turns(talk)) {
    if (message.role === 'assistant') {
      const turn = assistantTurn(message.content, ids, losses)
      if (turn.blocks.length === 0) continue
      joined.push({ role: 'assistant', ...turn })
      userParts = undefined
      continue
    }
    if (!userParts) {
      userParts = []
      joined.push({ role: 'user', parts: userParts })
    }
    for (const part of message.content) userParts.push(part)
  }
  return joined
}

function wireMessages(sides: readonly Side[], losses: LossList): readonly WireMessage[] {
  const messages: WireMessage[] = []
  let calls: AssistantTurn['calls'] = []
  for (const side of sides) {
    if (side.role === 'assistant') {
      messages.push({ role: 'assistant', content: side.blocks })
      calls = side.calls
      continue
    }
    const content = userTurn(side.parts, calls, losses)
    calls = []
    if (content.length > 0) messages.push({ role: 'user', content })
    else {
      losses.adjusted('messages', 'a user message without content was sent as "(empty message)"')
      messages.push({ role: 'user', content: [{ type: 'text', text: '(empty message)' }] })
    }
  }
  if (calls.length > 0) messages.push({ role: 'user', content: userTurn([], calls, losses) })
  return withTrimmedPrefill(messages)
}

/** The API refuses a final assistant message that ends in white space. */
function withTrimmedPrefill(messages: readonly WireMessage[]): readonly WireMessage[] {
  const last = messages.at(-1)
  const block = last?.content.at(-1)
  if (last?.role !== 'assistant' || block?.type !== 'text') return messages
  const trimmed = { ...block, text: String(block['text']).trimEnd() }
  return [...messages.slice(0, -1), { role: 'assistant', content: [...last.content.slice(0, -1), trimmed] }]
}
