import type { Keep } from './units.ts'

/** What the choice needs to know of a unit. */
export interface Candidate {
  readonly keep: Keep
  readonly tokens: number
  /** How many messages it is for a provider that limits them. */
  readonly messages: number
  /** Tokens of each of its texts that may be cut. They are part of `tokens`. */
  readonly cuttable: readonly number[]
}

/** What there is room for. */
export interface Room {
  readonly tokens: number
  readonly messages: number
}

/** What becomes of a unit: kept, kept with every text cut to so many tokens, or dropped. */
export type Fate = { readonly kept: true; readonly cutTo?: number } | { readonly kept: false }

/** What becomes of all; or, if it cannot be made to fit, the room that the smallest form needs. */
export type Choice = { readonly fates: readonly Fate[] } | { readonly needs: Room }

/** A text is not cut to fewer tokens than these: what is left would say nothing. */
export const smallestCut = 64

const dropped: Fate = { kept: false }
const kept: Fate = { kept: true }

/**
 * Chooses what stays. Units that must stay are kept, with their texts cut if they are too large together. Then the steps
 * of the last turn, then all others: from both ends towards the middle, one by one, as long as there is room. One that is
 * too large even alone is cut, so that a long document is not lost whole.
 */
export function middleOut(candidates: readonly Candidate[], room: Room): Choice {
  if (fits(candidates, room)) return { fates: candidates.map(() => kept) }
  const fates: Fate[] = candidates.map(() => dropped)
  const always = candidates.filter(({ keep }) => keep === 'always')
  const cutTo = cutFor(always, room.tokens)
  const messages = sumOf(always, 'messages')
  if (cutTo === undefined || messages > room.messages) return { needs: { tokens: smallest(always), messages } }
  for (const [index, { keep }] of candidates.entries())
    if (keep === 'always') fates[index] = cutTo === Infinity ? kept : { kept: true, cutTo }
  let left: Room = {
    tokens: room.tokens - (cutTo === Infinity ? sumOf(always, 'tokens') : room.tokens),
    messages: room.messages - messages,
  }
  for (const keep of ['turn', 'rest'] as const) {
    const indexes = [...candidates.keys()].filter((index) => candidates[index]!.keep === keep)
    left = fill(candidates, { indexes, room: left, fates })
    // What is older than a step that had to go is not worth more than it.
    if (indexes.some((index) => !fates[index]!.kept)) break
  }
  return { fates }
}

function fits(candidates: readonly Candidate[], room: Room): boolean {
  return sumOf(candidates, 'tokens') <= room.tokens && sumOf(candidates, 'messages') <= room.messages
}

/** Keeps what there is room for, from both ends towards the middle, the newest first. Returns the room that is left. */
function fill(
  candidates: readonly Candidate[],
  { indexes, room, fates }: { readonly indexes: readonly number[]; readonly room: Room; readonly fates: Fate[] },
): Room {
  let { tokens, messages } = room
  let head = 0
  let tail = indexes.length - 1
  const open = { head: true, tail: true }
  let side: 'head' | 'tail' = 'tail'
  while (head <= tail && (open.head || open.tail)) {
    if (!open[side]) side = side === 'head' ? 'tail' : 'head'
    const index = indexes[side === 'head' ? head : tail]!
    const candidate = candidates[index]!
    const cutTo = cutFor([candidate], candidate.tokens <= room.tokens ? room.tokens : room.tokens >> 1)
    const size = cutTo === Infinity ? candidate.tokens : room.tokens >> 1
    if (cutTo === undefined) {
      // It cannot stay whatever else goes, so it must not stand in the way of what is behind it.
      if (side === 'head') head++
      else tail--
      continue
    }
    if (size <= tokens && candidate.messages <= messages) {
      fates[index] = cutTo === Infinity ? kept : { kept: true, cutTo }
      tokens -= size
      messages -= candidate.messages
      if (side === 'head') head++
      else tail--
      side = side === 'head' ? 'tail' : 'head'
    } else open[side] = false
  }
  return { tokens, messages }
}

/**
 * To how many tokens every text must be cut so that all together have room: the largest number that will do. Infinity if
 * none need be cut, undefined if no cut helps.
 */
function cutFor(candidates: readonly Candidate[], tokens: number): number | undefined {
  let over = sumOf(candidates, 'tokens') - tokens
  if (over <= 0) return Infinity
  const sizes = candidates.flatMap(({ cuttable }) => cuttable).toSorted((a, b) => b - a)
  // The longest are cut down to the next shorter one, all together, until that is enough.
  for (const [index, size] of sizes.entries()) {
    const next = Math.max(sizes[index + 1] ?? 0, smallestCut)
    const gain = (size - next) * (index + 1)
    if (gain >= over) return size - Math.ceil(over / (index + 1))
    if (next === smallestCut) return undefined
    over -= gain
  }
  return undefined
}

function smallest(candidates: readonly Candidate[]): number {
  let tokens = sumOf(candidates, 'tokens')
  for (const { cuttable } of candidates) for (const size of cuttable) tokens -= Math.max(0, size - smallestCut)
  return tokens
}

function sumOf(candidates: readonly Candidate[], field: 'tokens' | 'messages'): number {
  let sum = 0
  for (const candidate of candidates) sum += candidate[field]
  return sum
}
