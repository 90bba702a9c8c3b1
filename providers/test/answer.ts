import type {
  FinishReason,
  GenerateRequest,
  ReasoningEvent,
  TextEvent,
  Tool,
  ToolCallEvent,
} from '@hadrian/core/provider'

import { schemaValue } from './schema-value.ts'
import type { Script } from './script.ts'
import { prompts, textOf, words } from './text.ts'

/** A step of an answer that costs tokens. */
export type Piece = TextEvent | ReasoningEvent | ToolCallEvent

/** One choice of an answer, made as it is read. */
export interface Choice {
  readonly pieces: Iterable<Piece>
  /** How it ends, unless it is cut short. */
  readonly finish: FinishReason
}

/** Characters of tool arguments in one piece: short, so that JSON is cut inside its words. */
const argumentsPiece = 8

type FunctionTool = Extract<Tool, { type: 'function' }>

/** All choices of the answer: for completions `n` of each prompt, else `n`. */
export function choicesFor(request: GenerateRequest, script: Script): readonly Choice[] {
  const count = Math.max(1, request.n ?? 1)
  if (request.operation !== 'completions') return Array.from({ length: count }, () => choiceFor(request, script))
  return prompts(request).flatMap((prompt) =>
    Array.from({ length: count }, () => ({ pieces: textPieces(echo(prompt), request.stop), finish: 'stop' as const })),
  )
}

function choiceFor(request: GenerateRequest, script: Script): Choice {
  if (script.isEmpty) return { pieces: [], finish: 'stop' }
  if (script.length !== undefined) return { pieces: filler(script.length), finish: 'stop' }
  const calls = callsFor(request, script)
  const thinking = thinks(request, script) ? reasoningPieces(request) : []
  if (calls.length > 0) {
    const pieces = calls.flatMap((tool, index) => callPieces(tool, index, request.messages.length))
    return { pieces: [...thinking, ...pieces], finish: 'tool_calls' }
  }
  return { pieces: [...thinking, ...textPieces(answerText(request), request.stop)], finish: 'stop' }
}

function echo(text: string): string {
  return text === '' ? 'You said nothing.' : `You said: ${text}`
}

function answerText(request: GenerateRequest): string {
  const last = request.messages.at(-1)
  const isResult = last?.content.some((part) => part.type === 'tool_result')
  const text = isResult
    ? `The tool said: ${textOf(last)}`
    : echo(textOf(request.messages.findLast((message) => message.role === 'user')))
  const format = request.responseFormat
  if (format?.type === 'json_schema' && format.schema) return JSON.stringify(schemaValue(format.schema))
  return format?.type === 'json_object' || format?.type === 'json_schema' ? JSON.stringify({ answer: text }) : text
}

/**
 * The tools to call: the one that the client forces; else, unless a result has just come, those that the last user
 * message asks for (`call NAME`, `use NAME`, `all tools`); else the first, where the model or the client wants any.
 */
function callsFor(request: GenerateRequest, script: Script): readonly FunctionTool[] {
  const choice = request.toolChoice
  const tools = (request.tools ?? []).filter((tool) => tool.type === 'function')
  if (choice === 'none' || tools.length === 0) return []
  if (typeof choice === 'object' && 'name' in choice) return tools.filter((tool) => tool.name === choice.name)
  const mustCall =
    choice === 'required' || (typeof choice === 'object' && 'mode' in choice && choice.mode === 'required')
  const last = request.messages.at(-1)
  if (last?.role !== 'user') return mustCall ? tools.slice(0, 1) : []
  const text = textOf(last)
  const named = tools.filter(({ name }) => text.includes(`call ${name}`) || text.includes(`use ${name}`))
  const asked = text.includes('all tools') ? tools : named
  const called = asked.length === 0 && (script.callsTools || mustCall) ? tools.slice(0, 1) : asked
  return request.parallelToolCalls === false ? called.slice(0, 1) : called
}

function thinks(request: GenerateRequest, script: Script): boolean {
  const { effort, enabled, maxTokens } = request.reasoning ?? {}
  if (effort === 'none' || enabled === false) return false
  return script.thinks || effort !== undefined || enabled === true || maxTokens !== undefined
}

/** The signature and the format are the provider's own, so no other provider takes its thinking for genuine. */
function reasoningPieces(request: GenerateRequest): readonly Piece[] {
  const text = `The last of ${request.messages.length} messages needs an answer. I will repeat what it says.`
  const format = 'hadrian-test-v1'
  const pieces = words(text).map((text): Piece => ({ type: 'reasoning', block: 0, text, format }))
  return [...pieces, { type: 'reasoning', block: 0, signature: 'dGVzdA==', format }]
}

function textPieces(text: string, stop: readonly string[] | undefined): readonly Piece[] {
  const ends = (stop ?? []).map((sequence) => (sequence === '' ? -1 : text.indexOf(sequence))).filter((end) => end >= 0)
  return words(text.slice(0, Math.min(text.length, ...ends))).map((text) => ({ type: 'text', text }))
}

function callPieces(tool: FunctionTool, index: number, turn: number): readonly Piece[] {
  const json = JSON.stringify(schemaValue(tool.parameters ?? { type: 'object' }))
  const pieces = json.match(new RegExp(`[^]{1,${argumentsPiece}}`, 'g')) ?? []
  return [
    { type: 'tool_call', index, id: `call_${turn}_${index}`, name: tool.name },
    ...pieces.map((piece): Piece => ({ type: 'tool_call', index, arguments: piece })),
  ]
}

function* filler(length: number): Iterable<Piece> {
  for (let count = 1; count <= length; count++) yield { type: 'text', text: `word${count} ` }
}
