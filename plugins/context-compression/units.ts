import type { Message, Part } from '@hadrian/core/plugin'

/**
 * How long a unit is kept. `always`: instructions, the first message of a user, the last one, and the end of the
 * conversation. `turn`: the other steps of the last turn. `rest`: the middle, which goes first.
 */
export type Keep = 'always' | 'turn' | 'rest'

/** Messages that stay or go together: a message of its own, or an answer with its tool calls and their results. */
export interface Unit {
  /** Indexes of its messages, rising. As a rule they follow each other. */
  readonly messages: readonly number[]
  readonly keep: Keep
  /** No instructions are among them, whose texts are never cut. */
  readonly mayBeCut: boolean
}

/** Takes a conversation apart into units, in order of their first messages. */
export function unitsOf(messages: readonly Message[]): readonly Unit[] {
  const groups = groupsOf(messages)
  const firstUser = messages.findIndex(({ role }) => role === 'user')
  const lastUser = messages.findLastIndex(({ role }) => role === 'user')
  const turnStart = startOfTurn(messages, lastUser)
  return groups.map((group): Unit => {
    const isInstruction = group.some((index) => isInstructions(messages[index]!))
    const always =
      isInstruction || group.some((index) => index === firstUser || index === lastUser || index === messages.length - 1)
    const keep = always ? 'always' : group.at(-1)! >= turnStart ? 'turn' : 'rest'
    return { messages: group, keep, mayBeCut: !isInstruction }
  })
}

/** Whether a message holds instructions of whoever built the application. */
export function isInstructions({ role }: Message): boolean {
  return role === 'system' || role === 'developer'
}

/** Where the last turn begins: with the messages of the user that follow each other up to the last one. */
function startOfTurn(messages: readonly Message[], lastUser: number): number {
  if (lastUser === -1) return messages.length
  let start = lastUser
  while (start > 0 && messages[start - 1]!.role === 'user') start--
  // Where there is nothing but the user's messages, the last is the turn.
  return start === 0 ? lastUser : start
}

/** Indexes of messages, by unit. Linear, however calls and results refer to each other. */
function groupsOf(messages: readonly Message[]): number[][] {
  const sets = new MessageSets(messages.length)
  /** Where the last call of each id is: some models count theirs from zero in every answer. */
  const calls = new Map<string, number>()
  for (const [index, message] of messages.entries()) {
    if (joins(message, messages[index - 1])) sets.join(index - 1, index)
    for (const part of message.content) {
      const result = resultOf(part)
      const call = result === undefined ? undefined : calls.get(result)
      if (call !== undefined) sets.join(call, index)
      for (const id of callsOf(part)) calls.set(id, index)
    }
  }
  const groups = new Map<number, number[]>()
  for (const index of messages.keys()) {
    const first = sets.firstOf(index)
    const group = groups.get(first)
    if (group) group.push(index)
    else groups.set(first, [index])
  }
  return [...groups.values()]
}

/** Disjoint sets of messages, each known by its first. */
class MessageSets {
  readonly #parents: number[]

  constructor(count: number) {
    this.#parents = Array.from({ length: count }, (_, index) => index)
  }

  firstOf(index: number): number {
    let first = index
    while (this.#parents[first] !== first) first = this.#parents[first]!
    for (let step = index; step !== first;) {
      const next = this.#parents[step]!
      this.#parents[step] = first
      step = next
    }
    return first
  }

  join(left: number, right: number): void {
    const a = this.firstOf(left)
    const b = this.firstOf(right)
    this.#parents[Math.max(a, b)] = Math.min(a, b)
  }
}

/** An answer of the model is one with what it went on to say, and with the results of the tools it called. */
function joins({ role }: Message, before: Message | undefined): boolean {
  if (role === 'assistant') return before?.role === 'assistant'
  return role === 'tool' && (before?.role === 'assistant' || before?.role === 'tool')
}

/** Ids by which a result may refer to this part. */
function callsOf(part: Part): readonly string[] {
  if (part.type === 'tool_call') return [part.id]
  if (part.type !== 'native' || isResult(part.value['type'])) return []
  return [part.value['call_id'], part.value['id']].filter((id) => typeof id === 'string')
}

/** The id of the call that this part is the result of. */
function resultOf(part: Part): string | undefined {
  if (part.type === 'tool_result') return part.toolCallId
  if (part.type !== 'native' || !isResult(part.value['type'])) return undefined
  const id = part.value['call_id'] ?? part.value['approval_request_id']
  return typeof id === 'string' ? id : undefined
}

/** Names of the Responses API: `computer_call_output`, `mcp_approval_response`. */
function isResult(type: unknown): boolean {
  return typeof type === 'string' && /_(?:output|response)$/.test(type)
}
