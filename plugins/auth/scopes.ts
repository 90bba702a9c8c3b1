/** What a key may be allowed to do. */
export const knownScopes = ['chat', 'completions', 'embeddings', 'models', 'admin'] as const

/** The known scope that is spelled most like this word, if one is near. */
export function nearestScope(word: string): string | undefined {
  const lower = word.toLowerCase()
  const near = knownScopes
    .map((scope) => ({ scope, distance: distance(lower, scope) }))
    .filter((each) => each.distance <= 2 || each.scope.startsWith(lower) || lower.startsWith(each.scope))
  return near.toSorted((a, b) => a.distance - b.distance)[0]?.scope
}

/** Insertions, deletions and replacements between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of a.split('').entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++)
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (letter === b[j] ? 0 : 1)))
    row = next
  }
  return row.at(-1)!
}
