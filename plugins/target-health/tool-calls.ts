import { stateKey } from '@hadrian/core/plugin'
import type { Exchange, Outcome, StreamEvent } from '@hadrian/core/plugin'
import type { Targets } from './targets.ts'

/** The calls of an answer, joined from their pieces, by choice and index. */
type Calls = Map<string, { name: string; json: string; isCustom: boolean }>

const callsKey = stateKey<Calls>('target-health.tool-calls')
/** An answer with more is not looked at further. */
const mostCalls = 128
const longestArguments = 256 * 1024

/** Collects the tool calls of an answer. An `observe` hook. */
export function collectToolCalls(exchange: Exchange, event: StreamEvent): void {
  if (event.type !== 'tool_call') return
  let calls = exchange.get(callsKey)
  if (!calls) {
    calls = new Map()
    exchange.set(callsKey, calls)
  }
  const id = `${event.choice ?? 0} ${event.index}`
  const call = calls.get(id) ?? { name: '', json: '', isCustom: false }
  if (event.name !== undefined) call.name = event.name
  if (event.arguments !== undefined && call.json.length < longestArguments) call.json += event.arguments
  call.isCustom ||= event.custom === true
  if (calls.size < mostCalls || calls.has(id)) calls.set(id, call)
}

/** Judges the tool calls of a complete answer. Part of the `settle` hook. */
export function judgeToolCalls(exchange: Exchange, outcome: Outcome, targets: Targets, nowMs: number): void {
  if (outcome.status !== 'completed' || outcome.finishReason !== 'tool_calls' || !outcome.target) return
  const calls = exchange.get(callsKey)
  const tracked = targets.known(outcome.target.name)
  if (!calls || calls.size === 0 || !tracked) return
  const names = new Set(exchange.request.tools?.map((tool) => (tool.type === 'function' ? tool.name : undefined)))
  // Tools that are no functions, and what they are called with, have forms of their own.
  const isSound = [...calls.values()].every(
    ({ name, json, isCustom }) => isCustom || (names.has(name) && (json.length >= longestArguments || isObject(json))),
  )
  tracked.countToolCalls(isSound, nowMs)
}

/** No arguments at all stand for an empty object. */
function isObject(json: string): boolean {
  if (json.trim() === '') return true
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
