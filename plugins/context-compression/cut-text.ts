import type { Encoding, TokenCounter } from './token-counter.ts'

/** How often a cut text that came out too long is cut again before it is given up. */
const mostTries = 4

/** What counts and where it is given up. */
export interface Counting {
  readonly counter: Pick<TokenCounter, 'count' | 'take'>
  readonly encoding: Encoding
  readonly signal: AbortSignal
}

/** A text after its middle was taken out. */
export interface CutText {
  readonly text: string
  readonly tokens: number
}

/**
 * Takes so much out of the middle of a text that at most so many tokens are left, a mark that says so included. Looks at
 * the ends only, however long the text is.
 */
export async function cutText(text: string, tokens: number, counting: Counting): Promise<CutText> {
  const { counter, encoding, signal } = counting
  const count = async (cut: string): Promise<number> => (await counter.count([cut], encoding, signal))[0]!
  let left = tokens - (await count(markFor(text.length)))
  for (let tries = 0; tries < mostTries && left > 0; tries++) {
    const head = await counter.take(text, { tokens: left >> 1, end: 'head' }, encoding, signal)
    const tail = await counter.take(text, { tokens: left - head.tokens, end: 'tail' }, encoding, signal)
    const gone = text.length - head.length - tail.length
    const cut = text.slice(0, head.length) + markFor(gone) + text.slice(text.length - tail.length)
    const counted = await count(cut)
    if (counted <= tokens) return { text: cut, tokens: counted }
    // Words that met the mark are other tokens now.
    left -= counted - tokens + 2
  }
  const mark = markFor(text.length).trim()
  return { text: mark, tokens: await count(mark) }
}

function markFor(length: number): string {
  return `\n[... ${length} characters left out ...]\n`
}
