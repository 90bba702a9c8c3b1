import { parsePattern } from './text-pattern-source.ts'
import { beginningOf, boundsOf, sourceOf, wordsPattern } from './text-pattern.ts'
import type { Pattern } from './text-pattern.ts'

/** What is searched for, compiled once by {@link createMatcher}. Set `lastIndex` before each use of an expression. */
export interface Matcher {
  /** Sticky to nothing: searches from `lastIndex`. */
  readonly match: RegExp
  /** Finds the first place from which the text up to its end may be the beginning of a match. Searches from `lastIndex`. */
  readonly beginning: RegExp
  /**
   * UTF-16 units of the longest match, and one more if what follows a match decides about it. At most `window - 1` units
   * of a text are ever undecided.
   */
  readonly window: number
}

/** What {@link createMatcher} looks for, in the spelling of plugin options. */
export interface MatcherOptions {
  /** Texts as they stand, of at most 1,000 characters. */
  readonly words: readonly string[]
  /** Regular expressions in Unicode mode, each repetition with an upper bound. */
  readonly patterns: readonly string[]
  /** Find `words` only where no letter, digit or underscore stands beside them. */
  readonly whole_words: boolean
  readonly case_sensitive: boolean
}

/** Limits of one pattern. */
const longestMatch = 1000
const mostWays = 10_000

/** A character that belongs to a word. ASCII's `\w` would find the `foo` in `fooé`. */
const wordCharacter = String.raw`[\p{L}\p{N}_]`
const startsAsWord = new RegExp(`^${wordCharacter}`, 'u')
const endsAsWord = new RegExp(`${wordCharacter}$`, 'u')
const noWordBefore: Pattern = { kind: 'assertion', source: `(?<!${wordCharacter})`, looksAhead: false }
const noWordAfter: Pattern = { kind: 'assertion', source: `(?!${wordCharacter})`, looksAhead: true }

/**
 * Compiles an operator's words and patterns so that no client's text can make the search run away: the time to search a
 * text is in proportion to its length. Call it in `setup`.
 *
 * @throws Error that names every entry which cannot be used, or that there is none
 */
export function createMatcher(options: MatcherOptions): Matcher {
  const problems: string[] = []
  const words = options.words.filter((word, index) => {
    if (word.trim() !== '' && word.length <= longestMatch) return true
    problems.push(`words[${index}]: needs 1 to ${longestMatch} characters`)
    return false
  })
  const patterns = options.patterns.flatMap((source, index) => {
    try {
      return [checked(parsePattern(source))]
    } catch (error) {
      problems.push(`patterns[${index}]: ${error instanceof Error ? error.message : String(error)}`)
      return []
    }
  })
  if (options.words.length + options.patterns.length === 0) problems.push('needs at least one of words and patterns')
  if (problems.length > 0) throw new Error(problems.join('; '))

  const whole: Pattern = { kind: 'choice', parts: [...wordGroups(words, options.whole_words), ...patterns] }
  const { longest, looksAhead } = boundsOf(whole)
  const flags = options.case_sensitive ? 'gu' : 'giu'
  return {
    match: new RegExp(sourceOf(whole), flags),
    beginning: new RegExp(beginningOf(whole), flags),
    window: longest + (looksAhead ? 1 : 0),
  }
}

function checked(pattern: Pattern): Pattern {
  const { shortest, longest, ways } = boundsOf(pattern)
  if (shortest === 0) throw new Error('matches the empty text')
  if (longest > longestMatch) throw new Error(`may match more than ${longestMatch} characters`)
  if (ways > mostWays) throw new Error(`leaves too many ways to try (${ways}, at most ${mostWays}); make it stricter`)
  return pattern
}

/** Words by which of their ends must be the end of a word: an end that is a sign, as in `c++`, needs not. */
function wordGroups(words: readonly string[], wholeWords: boolean): Pattern[] {
  const groups = Map.groupBy(words, (word) =>
    wholeWords ? Number(startsAsWord.test(word)) + 2 * Number(endsAsWord.test(word)) : 0,
  )
  return [...groups].map(([ends, group]) => ({
    kind: 'sequence',
    parts: [...(ends & 1 ? [noWordBefore] : []), wordsPattern(group), ...(ends & 2 ? [noWordAfter] : [])],
  }))
}
