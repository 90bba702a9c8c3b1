/** Candidates within reach of a misspelling, nearest first. A distance over a third of the word's length is no likeness. */
export function nearest(word: string, candidates: Iterable<string>, most = 1): string[] {
  const reach = Math.max(2, Math.floor(word.length / 3))
  return [...new Set(candidates)]
    .map((candidate) => ({ candidate, distance: distanceWithin(word.toLowerCase(), candidate.toLowerCase(), reach) }))
    .filter(({ distance }) => distance <= reach)
    .toSorted((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, most)
    .map(({ candidate }) => candidate)
}

/** `Did you mean "x"?`, or undefined if nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const [best] = nearest(word, candidates)
  return best === undefined ? undefined : `Did you mean "${best}"?`
}

/** Optimal string alignment distance (insert, delete, replace, swap neighbours), or more than `limit` once it is certain. */
function distanceWithin(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit || a.length > 256) return limit + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, beforeLast[j - 2]! + 1)
      row.push(best)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
