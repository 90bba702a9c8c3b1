import type { Part, ReasoningPart, ToolCallPart } from '@hadrian/core/provider'

import { cacheMark, contentBlock } from './content.ts'
import type { LossList } from './loss-list.ts'
import { type Block, isObject, isThinking, messagesDialect } from './wire.ts'

/** A tool call that waits for its result in the next user turn. */
export interface OpenCall {
  readonly clientId: string
  readonly wireId: string
}

/** The model's side of the conversation between two user turns. */
export interface AssistantTurn {
  readonly blocks: readonly Block[]
  readonly calls: readonly OpenCall[]
}

/** Gives every tool call of one request an id that the API accepts (`[a-zA-Z0-9_-]+`) and that no other call has. */
export class ToolIds {
  readonly #used = new Set<string>()
  /** The last number given to each stem, since counting anew from 2 would be quadratic. */
  readonly #counts = new Map<string, number>()

  take(clientId: string): string {
    const stem = clientId.replaceAll(/[^a-zA-Z0-9_-]/g, '_') || 'call'
    let id = stem
    let count = this.#counts.get(stem) ?? 1
    while (this.#used.has(id)) id = `${stem}_${++count}`
    this.#counts.set(stem, count)
    this.#used.add(id)
    return id
  }
}

/** Encodes the parts of all assistant messages of one turn. May come out empty. */
export function assistantTurn(parts: readonly Part[], ids: ToolIds, losses: LossList): AssistantTurn {
  const blocks: Block[] = []
  const calls: OpenCall[] = []
  for (const part of withWholeThinking(parts)) {
    if (part.type === 'tool_call') {
      const wireId = ids.take(part.id)
      calls.push({ clientId: part.id, wireId })
      blocks.push({ type: 'tool_use', id: wireId, name: part.name, input: toolInput(part, losses), ...cacheMark(part) })
      continue
    }
    if (part.type === 'media') {
      losses.dropped(`a part with ${part.kind}`, 'the Messages API takes no media in an assistant message')
      continue
    }
    const block = part.type === 'reasoning' ? thinkingBlock(part, losses) : contentBlock(part, losses)
    if (block) blocks.push(block)
  }
  // Server-side tools interleave their own thinking: such a turn is a verbatim copy of an answer and stays as it is.
  const verbatim = parts.some((part) => part.type === 'native' && part.dialect === messagesDialect)
  return { blocks: withoutTrailingThinking(verbatim ? blocks : thinkingFirst(blocks), losses), calls }
}

/** Clients that collect the pieces of a stream send back thinking in pieces, with the signature in the last one. */
function withWholeThinking(parts: readonly Part[]): readonly Part[] {
  const whole: Part[] = []
  for (const part of parts) {
    const last = whole.at(-1)
    const continues =
      last?.type === 'reasoning' &&
      part.type === 'reasoning' &&
      last.text !== undefined &&
      last.signature === undefined &&
      last.format === part.format &&
      last.id === part.id &&
      part.encrypted === undefined &&
      // Text with a signature of its own is a block of its own: joining anything to it would break the signature.
      (part.signature === undefined || !part.text)
    if (continues) whole[whole.length - 1] = { ...part, text: last.text + (part.text ?? '') }
    else whole.push(part)
  }
  return whole
}

/** A turn that thinks must begin with thinking; one that begins with it keeps its order. */
function thinkingFirst(blocks: readonly Block[]): readonly Block[] {
  if (isThinking(blocks[0])) return blocks
  return [...blocks.filter(isThinking), ...blocks.filter((block) => !isThinking(block))]
}

/** The API refuses a message that ends in thinking, which an aborted answer leaves behind. */
function withoutTrailingThinking(blocks: readonly Block[], losses: LossList): readonly Block[] {
  const end = blocks.findLastIndex((block) => !isThinking(block)) + 1
  if (end < blocks.length) losses.dropped('a reasoning part', 'nothing follows it in its turn')
  return blocks.slice(0, end)
}

function thinkingBlock(part: ReasoningPart, losses: LossList): Block | undefined {
  const own = part.format === 'anthropic-claude-v1'
  if (part.signature !== undefined && (own || part.format === undefined || part.format === 'unknown')) {
    return { type: 'thinking', thinking: part.text ?? part.summary ?? '', signature: part.signature }
  }
  if (own && part.encrypted !== undefined) return { type: 'redacted_thinking', data: part.encrypted }
  losses.dropped(
    'a reasoning part',
    part.format === undefined || own || part.format === 'unknown'
      ? 'it has no signature of Anthropic'
      : `its format ${part.format} is not that of Anthropic`,
  )
  return undefined
}

/** The input of a call is an object on this wire, whatever the model wrote. */
function toolInput(part: ToolCallPart, losses: LossList): unknown {
  if (part.custom) return { input: part.arguments }
  if (part.arguments.trim() === '') return {}
  try {
    const input: unknown = JSON.parse(part.arguments)
    if (isObject(input)) return input
  } catch {
    // Models do write invalid JSON; what they wrote is kept below.
  }
  losses.adjusted('messages', `the arguments of ${part.name} are no JSON object and were sent as its field _raw`)
  return { _raw: part.arguments }
}
