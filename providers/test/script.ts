/** What a model name makes the provider do. */
export interface Script {
  /** Answer with this error status. */
  readonly status?: number
  /** Wait before the first event. */
  readonly slowMs: number
  /** Wait between pieces. */
  readonly paceMs: number
  /** End without a finish after so many pieces. */
  readonly cutAfter?: number
  /** Fail with a typed error after so many pieces. */
  readonly errorAfter?: number
  /** Answer with so many pieces of filler instead of an echo. */
  readonly length?: number
  readonly hangs: boolean
  readonly isMalformed: boolean
  readonly isEmpty: boolean
  readonly hidesUsage: boolean
  readonly callsTools: boolean
  readonly thinks: boolean
}

/** Longest delay a model name may ask for, in milliseconds: an hour. */
const longestDelayMs = 3_600_000

/**
 * Reads the script in a model name: terms joined by `+`, as in `slow-100+pace-20+cut-3`. Words that are no term mean
 * nothing, so every name is a model that echoes.
 */
export function scriptOf(model: string): Script {
  const terms = model.split('+')
  const number = (prefix: string): number | undefined => {
    const term = terms.find((term) => term.startsWith(prefix) && /^\d{1,9}$/.test(term.slice(prefix.length)))
    return term === undefined ? undefined : Number(term.slice(prefix.length))
  }
  const status = number('error-')
  return {
    ...(status !== undefined && status >= 400 && status <= 599 && { status }),
    slowMs: Math.min(number('slow-') ?? 0, longestDelayMs),
    paceMs: Math.min(number('pace-') ?? 0, longestDelayMs),
    cutAfter: number('cut-'),
    errorAfter: number('error-after-'),
    length: number('long-'),
    hangs: terms.includes('hang'),
    isMalformed: terms.includes('malformed'),
    isEmpty: terms.includes('empty'),
    hidesUsage: terms.includes('no-usage'),
    callsTools: terms.includes('tools'),
    thinks: terms.includes('reasoning'),
  }
}
