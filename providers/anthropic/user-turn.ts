import type { Part, ToolResultPart } from '@hadrian/core/provider'

import type { OpenCall } from './assistant-turn.ts'
import { cacheMark, contentBlock, textBlock } from './content.ts'
import type { LossList } from './loss-list.ts'
import type { Block } from './wire.ts'

/**
 * Encodes everything between two assistant turns into one message: first a result for each call of the turn before, as
 * the API demands, then the rest in its order. May come out empty.
 */
export function userTurn(parts: readonly Part[], calls: readonly OpenCall[], losses: LossList): readonly Block[] {
  // Calls of one id are answered in their order, which popping needs the other way round.
  const open = Map.groupBy(calls.toReversed(), ({ clientId }) => clientId)
  const answered = new Set<OpenCall>()
  const results: Block[] = []
  const rest: Block[] = []
  for (const part of parts) {
    if (part.type !== 'tool_result') {
      const block = contentBlock(part, losses)
      if (block) rest.push(block)
      continue
    }
    const call = open.get(part.toolCallId)?.pop()
    if (call) {
      answered.add(call)
      results.push(resultBlock(part, call, losses))
    } else rest.push(...strayResult(part, losses))
  }
  for (const call of calls) {
    if (answered.has(call)) continue
    losses.adjusted('messages', `the tool call ${call.clientId} has no result; an error was sent as its result`)
    results.push({
      type: 'tool_result',
      tool_use_id: call.wireId,
      content: [{ type: 'text', text: 'No result was given for this call.' }],
      is_error: true,
    })
  }
  return [...results, ...rest]
}

function resultBlock(part: ToolResultPart, call: OpenCall, losses: LossList): Block {
  const content = part.content.map((inner) => contentBlock(inner, losses)).filter((block) => block !== undefined)
  return {
    type: 'tool_result',
    tool_use_id: call.wireId,
    ...(content.length > 0 && { content }),
    ...(part.isError && { is_error: true }),
    ...cacheMark(part),
  }
}

/** A result without a call right before it is an error on this wire, so it goes as text. */
function strayResult(part: ToolResultPart, losses: LossList): readonly Block[] {
  losses.adjusted('messages', `the result of ${part.toolCallId} follows no such tool call and was sent as text`)
  const content = part.content.map((inner) => contentBlock(inner, losses))
  return [textBlock(`Result of tool call ${part.toolCallId}:`), ...content].filter((block) => block !== undefined)
}
