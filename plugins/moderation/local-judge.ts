import { createMatcher } from '@hadrian/core/plugin'
import type { Matcher, MatcherOptions } from '@hadrian/core/plugin'
import type { Judge, Judgement, Stretch } from './judge.ts'

/** What stands under `[plugins.moderation.rules.CATEGORY]`. */
export type Rule = Partial<MatcherOptions>

/**
 * Judges by words and patterns. Needs no window: text goes out as soon as it can be no beginning of a match.
 *
 * @throws Error that names every rule which cannot be used
 */
export function createLocalJudge(rules: Readonly<Record<string, Rule>>): Judge {
  const problems: string[] = []
  const matchers = Object.entries(rules).flatMap(([category, rule]): [string, Matcher][] => {
    const { words = [], patterns = [], whole_words = true, case_sensitive = false } = rule
    try {
      return [[category, createMatcher({ words, patterns, whole_words, case_sensitive })]]
    } catch (error) {
      problems.push(`rules.${category}: ${error instanceof Error ? error.message : String(error)}`)
      return []
    }
  })
  if (problems.length > 0) throw new Error(problems.join('; '))
  return {
    windowChars: 1,
    // What stands before a match says whether a word begins there: one character, which may be two units.
    contextChars: 2,
    joins: false,
    flags: (text) => judgeStretch(matchers, { text, from: 0, ended: true }).categories.length > 0,
    judge: (_exchange, stretches) => stretches.map((stretch) => judgeStretch(matchers, stretch)),
  }
}

function judgeStretch(matchers: readonly [string, Matcher][], { text, from, ended }: Stretch): Judgement {
  const categories: string[] = []
  // Half a surrogate pair is no character yet.
  let decidedTo = /[\uD800-\uDBFF]$/.test(text) ? text.length - 1 : text.length
  for (const [category, { match, beginning, window }] of matchers) {
    beginning.lastIndex = Math.max(from, text.length - window)
    const undecided = Math.max(from, beginning.exec(text)?.index ?? text.length)
    match.lastIndex = from
    const found = match.exec(text)
    if (found && (ended || found.index < undecided)) categories.push(category)
    decidedTo = Math.min(decidedTo, undecided)
  }
  return { categories, decidedTo }
}
