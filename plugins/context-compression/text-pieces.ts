/**
 * UTF-16 units of the longest piece that is given to the tokenizer, which takes quadratic time for text without a break
 * (50 kB of one letter: 1.6 s). In pieces every text takes linear time: 20 ms a megabyte as a rule, 1.2 s at the worst.
 */
export const longestPiece = 512

/** How far before the end of a piece a blank is looked for: a cut before one splits no token. */
const blankWithin = 64

/**
 * Cuts a text into pieces of at most `longest` UTF-16 units, before blanks where there are any, and never within a
 * character. Joined they are the text. The same text is always cut alike.
 */
export function* piecesOf(text: string, longest = longestPiece): Generator<string> {
  let start = 0
  while (text.length - start > longest) {
    const end = cutBefore(text, start + longest, Math.min(blankWithin, longest >> 1))
    yield text.slice(start, end)
    start = end
  }
  if (start < text.length) yield text.slice(start)
}

/** The best place for a cut at `end` or a little before it. */
function cutBefore(text: string, end: number, within: number): number {
  for (let index = end; index > end - within; index--) if (text.charCodeAt(index) === 0x20) return index
  return isInsideCharacter(text, end) ? end - 1 : end
}

/** Whether a cut here would part the two halves of a character. */
export function isInsideCharacter(text: string, index: number): boolean {
  return isHalf(text.charCodeAt(index - 1), 0xd800) && isHalf(text.charCodeAt(index), 0xdc00)
}

function isHalf(unit: number, first: number): boolean {
  return unit >= first && unit < first + 0x400
}
