/**
 * A regular expression as a tree. JavaScript can tell whether a text contains a match, but not whether its end could be
 * the beginning of one; from the tree both expressions are written, and its bounds are known before any text comes.
 */
export type Pattern =
  /** One character; `units` is the most UTF-16 units it can be. */
  | { readonly kind: 'character'; readonly source: string; readonly units: number }
  /** Says something about the characters beside it. */
  | { readonly kind: 'assertion'; readonly source: string; readonly looksAhead: boolean }
  | { readonly kind: 'sequence'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'choice'; readonly parts: readonly Pattern[] }
  | {
      readonly kind: 'repeat'
      readonly part: Pattern
      readonly least: number
      readonly most: number
      readonly lazy: boolean
    }

export interface Bounds {
  /** UTF-16 units of the shortest and the longest match. */
  readonly shortest: number
  readonly longest: number
  /** Ways to try at one place of a text, at worst: what bounds backtracking. */
  readonly ways: number
  readonly looksAhead: boolean
}

/** Measures a pattern. */
export function boundsOf(pattern: Pattern): Bounds {
  switch (pattern.kind) {
    case 'character':
      return { shortest: 1, longest: pattern.units, ways: 1, looksAhead: false }
    case 'assertion':
      return { shortest: 0, longest: 0, ways: 1, looksAhead: pattern.looksAhead }
    case 'sequence':
      return pattern.parts.map(boundsOf).reduce(
        (all, one) => ({
          shortest: all.shortest + one.shortest,
          longest: all.longest + one.longest,
          ways: all.ways * one.ways,
          looksAhead: all.looksAhead || one.looksAhead,
        }),
        { shortest: 0, longest: 0, ways: 1, looksAhead: false },
      )
    case 'choice': {
      const parts = pattern.parts.map(boundsOf)
      return {
        shortest: Math.min(...parts.map((part) => part.shortest)),
        longest: Math.max(...parts.map((part) => part.longest)),
        ways: parts.reduce((sum, part) => sum + part.ways, 0),
        looksAhead: parts.some((part) => part.looksAhead),
      }
    }
    case 'repeat': {
      const part = boundsOf(pattern.part)
      let ways = 0
      for (let count = pattern.least; count <= pattern.most && ways < Infinity; count++) ways += part.ways ** count
      return {
        shortest: part.shortest * pattern.least,
        longest: part.longest * pattern.most,
        ways,
        looksAhead: part.looksAhead,
      }
    }
  }
}

/** The source of an expression that matches the pattern. */
export function sourceOf(pattern: Pattern): string {
  switch (pattern.kind) {
    case 'character':
    case 'assertion':
      return pattern.source
    case 'sequence':
      return pattern.parts.map(sourceOf).join('')
    case 'choice':
      return `(?:${pattern.parts.map(sourceOf).join('|')})`
    case 'repeat':
      return `(?:${sourceOf(pattern.part)}){${pattern.least},${pattern.most}}${pattern.lazy ? '?' : ''}`
  }
}

/**
 * The source of an expression that matches where the rest of the text, up to its end, may be the beginning of a match
 * that is not complete: more text would decide. It always matches the empty rest.
 */
export function beginningOf(pattern: Pattern): string {
  switch (pattern.kind) {
    case 'character':
    case 'assertion':
      return '$'
    case 'sequence': {
      const last = pattern.parts.at(-1)
      return pattern.parts
        .slice(0, -1)
        .reduceRight(
          (rest, part) => `(?:${beginningOf(part)}|${sourceOf(part)}${rest})`,
          last ? beginningOf(last) : '$',
        )
    }
    case 'choice':
      return `(?:${[...new Set(pattern.parts.map(beginningOf))].join('|')})`
    case 'repeat':
      return pattern.most === 0
        ? '$'
        : `(?:${sourceOf(pattern.part)}){0,${pattern.most - 1}}(?:${beginningOf(pattern.part)})`
  }
}

/** One of these texts, the longest that fits: a tree of their characters, so that thousands cost little more than one. */
export function wordsPattern(words: readonly string[]): Pattern {
  const root: Tree = { next: new Map(), ends: false }
  for (const word of words) {
    let tree = root
    for (const character of word) {
      let next = tree.next.get(character)
      if (!next) tree.next.set(character, (next = { next: new Map(), ends: false }))
      tree = next
    }
    tree.ends = true
  }
  return patternOf(root)
}

interface Tree {
  readonly next: Map<string, Tree>
  ends: boolean
}

function patternOf(tree: Tree): Pattern {
  const parts = [...tree.next].map(([character, next]): Pattern => {
    const source = character.replace(/[\^$\\.*+?()[\]{}|/]/, String.raw`\$&`)
    const first: Pattern = { kind: 'character', source, units: character.length }
    return next.next.size === 0 ? first : { kind: 'sequence', parts: [first, patternOf(next)] }
  })
  const choice: Pattern = parts.length === 1 && parts[0] ? parts[0] : { kind: 'choice', parts }
  return tree.ends ? { kind: 'repeat', part: choice, least: 0, most: 1, lazy: false } : choice
}
