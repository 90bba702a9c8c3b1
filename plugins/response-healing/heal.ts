import { jsonrepair } from 'jsonrepair'

/** What the JSON should be at its top, as far as the request says. */
export type Wanted = 'object' | 'array' | 'any'

/** UTF-16 units of a text that is looked at: taking JSON out of fences and prose is linear. */
export const longestText = 1_048_576

/**
 * UTF-16 units of JSON whose syntax is repaired. The repair is quadratic for texts made to be hard (a row of quotes), and
 * nothing else runs meanwhile: 0.1 s for this much.
 */
export const longestRepair = 32_768

/** Candidates whose syntax is repaired, for the same reason. */
const mostRepairs = 2

/** Fences, and places in each where JSON may begin, that are tried: prose may contain brackets too. */
const mostStarts = 4

/** What was wrong with a text: it stood in a code fence, between prose, lacked brackets, or its syntax was no JSON. */
export type Defect = 'code_fence' | 'prose' | 'brackets' | 'syntax'

/** A text that is JSON now. */
export interface Healed {
  readonly text: string
  readonly defects: readonly Defect[]
}

/** A part of a text that may be the JSON that was meant, and what had to be taken off to get at it. */
type Found = Healed

/**
 * Makes JSON of a text that was meant to be JSON: takes it out of code fences and prose, and repairs its syntax. Returns
 * undefined if the text is valid already, or if nothing can be done: there is no JSON in it, it is too long, or nested too
 * deeply. Never throws.
 */
export function heal(text: string, wanted: Wanted): Healed | undefined {
  if (text.length > longestText || isValid(text)) return undefined
  const body = text.trim()
  // JSON from the start: fences and brackets further on stand in its strings, or come after it.
  if ('{['.includes(body[0] ?? ' ')) {
    const whole = firstDefined(within(body, wanted).take(1), (found) => repair(found, wanted))
    if (whole) return whole
  }
  const byText = new Map<string, Found>()
  for (const found of candidatesOf(body, wanted)) if (!byText.has(found.text)) byText.set(found.text, found)
  const candidates = [...byText.values()]
  return (
    candidates.find((found) => isJson(found.text, wanted)) ??
    firstDefined(candidates.slice(0, mostRepairs), (found) => repair(found, wanted))
  )
}

/** Whether a text is JSON as it is. */
export function isValid(text: string): boolean {
  return isJson(text, 'any')
}

/** Texts that may be the JSON that was meant, best first. */
function* candidatesOf(text: string, wanted: Wanted): Generator<Found> {
  // Only the first bracket is missing.
  if (wanted !== 'array' && /^"[^"\n]*"\s*:/.test(text) && text.endsWith('}'))
    yield { text: `{${text}`, defects: ['brackets'] }
  for (const fenced of text.matchAll(/```(?:json5?|javascript|js)?([^]*?)(?:```|$)/gi).take(mostStarts)) {
    const around: readonly Defect[] = fenced[0].length < text.length ? ['prose', 'code_fence'] : ['code_fence']
    for (const found of within(fenced[1] ?? '', wanted))
      yield { ...found, defects: [...new Set([...around, ...found.defects])] }
  }
  yield* within(text, wanted)
}

/** Values of the wanted kind, one after the other; the last may lack its end. */
function* within(text: string, wanted: Wanted): Generator<Found> {
  const whole = text.trim().length
  const bracket = wanted === 'object' ? /\{/g : wanted === 'array' ? /\[/g : /[{[]/g
  for (let tried = 0; tried < mostStarts; tried++) {
    const start = bracket.exec(text)?.index
    if (start === undefined) return
    const { end } = endOf(text, start)
    const found = text.slice(start, end).trimEnd()
    yield { text: found, defects: found.length < whole ? ['prose'] : [] }
    if (end === undefined) return
    bracket.lastIndex = end
  }
}

/** Where the value that begins at `start` ends; or else what is missing for it to end. Linear, whatever the text. */
function endOf(text: string, start: number): { readonly end?: number; readonly missing: string } {
  const open: string[] = []
  let inString = false
  for (let index = start; index < text.length; index++) {
    const character = text[index]
    if (inString) {
      if (character === '\\') index++
      else if (character === '"') inString = false
    } else if (character === '"') inString = true
    else if (character === '{') open.push('}')
    else if (character === '[') open.push(']')
    else if (character === '}' || character === ']') {
      open.pop()
      if (open.length === 0) return { end: index + 1, missing: '' }
    }
  }
  return { missing: `${inString ? '"' : ''}${open.toReversed().join('')}` }
}

function repair({ text, defects }: Found, wanted: Wanted): Healed | undefined {
  if (isJson(text, wanted)) return { text, defects }
  const closed = text + endOf(text, 0).missing
  if (isJson(closed, wanted)) return { text: closed, defects: [...defects, 'brackets'] }
  if (text.length > longestRepair) return undefined
  try {
    const repaired = jsonrepair(text)
    return isJson(repaired, wanted) ? { text: repaired, defects: [...defects, 'syntax'] } : undefined
  } catch {
    // Beyond repair, or nested so deeply that the stack overflows.
    return undefined
  }
}

function isJson(text: string, wanted: Wanted): boolean {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return false
  }
  if (wanted === 'any') return true
  return wanted === 'array'
    ? Array.isArray(value)
    : typeof value === 'object' && value !== null && !Array.isArray(value)
}

function firstDefined<A, B>(values: Iterable<A>, map: (value: A) => B | undefined): B | undefined {
  for (const value of values) {
    const mapped = map(value)
    if (mapped !== undefined) return mapped
  }
  return undefined
}
