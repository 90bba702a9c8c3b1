import type { StreamEvent, ToolCallEvent } from '@hadrian/core/provider'
import { filled, isObject } from './json.ts'

interface OpenCall {
  readonly index: number
  id: string | undefined
  name: string | undefined
  /** Arguments that came before the name. */
  waiting: string
  isAnnounced: boolean
  readonly custom: boolean
}

/** One entry of `tool_calls`, whole or a piece of one, with its lies removed. */
interface Piece {
  readonly wireIndex: number | undefined
  readonly id: string | undefined
  readonly name: string | undefined
  readonly input: string
  readonly custom: boolean
}

function inputOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : JSON.stringify(value)
}

function readPiece(entry: unknown): Piece | undefined {
  if (!isObject(entry)) return undefined
  const custom = entry['type'] === 'custom' || (isObject(entry['custom']) && !isObject(entry['function']))
  const inner = custom ? entry['custom'] : (entry['function'] ?? entry)
  const fields = isObject(inner) ? inner : {}
  const { index } = entry
  return {
    wireIndex: typeof index === 'number' && index >= 0 ? index : undefined,
    id: filled(entry['id']),
    name: filled(fields['name']),
    input: inputOf(custom ? fields['input'] : fields['arguments']),
    custom,
  }
}

/**
 * Sorts the pieces of the tool calls of one choice. Compatible servers leave out the index, send -1 or 0 for every call,
 * leave out the id, repeat id and name with every piece, or send a call whole: a call begins where an id or a name says
 * so.
 */
export class ToolCallDecoder {
  readonly #calls: OpenCall[] = []
  /** By the index on the wire. */
  #byIndex: Map<number, OpenCall> | undefined
  readonly #choice: number

  constructor(choice: number) {
    this.#choice = choice
  }

  get hasCalls(): boolean {
    return this.#calls.length > 0
  }

  /** `answerId` makes the ids of calls that have none differ from one answer to the next. */
  push(list: unknown, answerId: string): StreamEvent[] {
    if (!Array.isArray(list)) return []
    return list.flatMap((entry) => {
      const piece = readPiece(entry)
      return piece ? this.#pushPiece(piece, answerId) : []
    })
  }

  /** Calls whose name never came. */
  flush(answerId: string): StreamEvent[] {
    if (this.#calls.length === 0) return []
    return this.#calls.filter((call) => !call.isAnnounced).map((call) => this.#announce(call, answerId))
  }

  #pushPiece(piece: Piece, answerId: string): StreamEvent[] {
    const call = this.#find(piece) ?? this.#begin(piece)
    if (!call) return []
    call.name ??= piece.name
    if (call.isAnnounced) return piece.input === '' ? [] : [{ ...this.#event(call), arguments: piece.input }]
    call.id ??= piece.id
    call.waiting += piece.input
    return call.name === undefined ? [] : [this.#announce(call, answerId)]
  }

  #find(piece: Piece): OpenCall | undefined {
    const { id, name, wireIndex } = piece
    const known = id === undefined ? undefined : this.#calls.find((call) => call.id === id)
    if (known) return known
    const placed = wireIndex === undefined ? undefined : this.#byIndex?.get(wireIndex)
    if (placed) {
      const isOther = name !== undefined && ((id !== undefined && placed.id !== undefined) || isRenamed(placed, name))
      return isOther ? undefined : placed
    }
    if (wireIndex !== undefined) return undefined
    const begins = name !== undefined || (id !== undefined && this.#calls.length === 0)
    return begins ? undefined : this.#calls.at(-1)
  }

  #begin(piece: Piece): OpenCall | undefined {
    if (piece.id === undefined && piece.name === undefined && piece.input === '') return undefined
    const call: OpenCall = {
      index: this.#calls.length,
      id: piece.id,
      name: undefined,
      waiting: '',
      isAnnounced: false,
      custom: piece.custom,
    }
    this.#calls.push(call)
    if (piece.wireIndex !== undefined) (this.#byIndex ??= new Map()).set(piece.wireIndex, call)
    return call
  }

  #announce(call: OpenCall, answerId: string): ToolCallEvent {
    call.isAnnounced = true
    call.id ??= `call_${answerId.replaceAll(/[^A-Za-z0-9]/g, '').slice(-24)}_${this.#choice}_${call.index}`
    const input = call.waiting
    call.waiting = ''
    return {
      ...this.#event(call),
      id: call.id,
      name: call.name ?? '',
      ...(input !== '' && { arguments: input }),
    }
  }

  #event(call: OpenCall): ToolCallEvent {
    return { type: 'tool_call', choice: this.#choice, index: call.index, ...(call.custom && { custom: true }) }
  }
}

function isRenamed(call: OpenCall, name: string): boolean {
  return call.name !== undefined && call.name !== name
}
