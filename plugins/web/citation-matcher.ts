import type { SearchResult } from './search.ts'

/** A place in a text that cites a page. */
export interface Citation {
  readonly result: SearchResult
  /** In UTF-16 units of the text, as JavaScript counts; `end` is the first one behind. */
  readonly start: number
  readonly end: number
}

/** Text before a URL in which the label of its link may begin. */
const longestLabel = 300
/** Text behind a URL in which its link must end: a title in quotes. */
const longestLinkTitle = 200
/** Punctuation behind a URL that is looked past, to tell the end of a sentence from a part of the URL. */
const longestPunctuation = 3

const scheme = 'http'
/** What a URL goes on with. */
const urlCharacter = /[\p{L}\p{N}_~%/#&=+@$(|\\^-]/u
/** What a URL may go on with, and what may as well end the sentence around it. */
const punctuation = /[.,:;!?'*]/
/** What stands before a URL only inside of a longer one. */
const insideUrl = /[\p{L}\p{N}/=%]$/u
const linkEnd = /^>?(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'))?[ \t]*\)/

/** The text that is there so far does not decide it. */
type Undecided = 'wait'

/**
 * Finds citations of known pages in a text that comes in pieces: Markdown links to them, and their bare URLs. Wherever the
 * text is split, the citations are the same. Holds back nothing; it finds a citation with the first piece that decides it.
 */
export class CitationMatcher {
  /**
   * URLs without a slash at the end, since most servers answer alike with and without it. The longest first, so that a
   * page is not taken for one whose URL begins alike.
   */
  readonly #pages: readonly { readonly result: SearchResult; readonly url: string }[]
  /** The end of the text so far: what is undecided, and enough before it for a label. */
  #window = ''
  /** Where the window begins in the text. */
  #offset = 0
  /** Where in the window the search goes on. */
  #next = 0
  /** Where in the window the last citation ended: a label cannot begin before. */
  #free = 0

  constructor(results: readonly SearchResult[]) {
    this.#pages = results
      .map((result) => ({ result, url: result.url.replace(/\/$/, '') }))
      .toSorted((a, b) => b.url.length - a.url.length)
  }

  push(text: string): readonly Citation[] {
    this.#window += text
    const found = this.#scan(false)
    const surplus = Math.min(this.#next, this.#window.length) - longestLabel
    // Not at each piece: cutting copies.
    if (surplus > 2 * longestLabel) {
      this.#window = this.#window.slice(surplus)
      this.#offset += surplus
      this.#next -= surplus
      this.#free = Math.max(0, this.#free - surplus)
    }
    return found
  }

  /** The text has ended. */
  end(): readonly Citation[] {
    return this.#scan(true)
  }

  #scan(isEnd: boolean): readonly Citation[] {
    let found: Citation[] | undefined
    const window = this.#window
    for (;;) {
      const start = window.indexOf(scheme, this.#next)
      if (start === -1) {
        this.#next = Math.max(this.#next, window.length - scheme.length + 1)
        return found ?? none
      }
      this.#next = start
      const citation = this.#at(start, isEnd)
      if (citation === 'wait') return found ?? none
      if (citation) {
        ;(found ??= []).push({
          ...citation,
          start: citation.start + this.#offset,
          end: citation.end + this.#offset,
        })
        this.#next = citation.end
        this.#free = citation.end
      } else this.#next = start + scheme.length
    }
  }

  /** The citation whose URL begins here, if one does. Its places are in the window. */
  #at(start: number, isEnd: boolean): Citation | undefined | Undecided {
    const window = this.#window
    if (insideUrl.test(window.slice(Math.max(0, start - 2), start))) return undefined
    for (const { result, url } of this.#pages) {
      const isCut = window.length - start < url.length
      if (isCut) {
        if (!isEnd && url.startsWith(window.slice(start))) return 'wait'
        continue
      }
      if (!window.startsWith(url, start)) continue
      const end = urlEnd(window, start + url.length, isEnd)
      if (end === 'wait') return 'wait'
      if (end === undefined) continue
      const label = this.#labelBefore(start)
      if (label === undefined) return { result, start, end }
      const after = endOfLink(window, end, isEnd)
      if (after === 'wait') return 'wait'
      return after === undefined ? { result, start, end } : { result, start: label, end: after }
    }
    return undefined
  }

  /** Where the label begins, if `[label](` or `[label](<` stands before. */
  #labelBefore(start: number): number | undefined {
    const window = this.#window
    const open = window[start - 1] === '<' ? start - 2 : start - 1
    if (window[open] !== '(' || window[open - 1] !== ']') return undefined
    const first = Math.max(this.#free, start - longestLabel)
    let depth = 0
    for (let position = open - 1; position >= first; position--) {
      if (window[position] === ']') depth++
      else if (window[position] === '[' && --depth === 0) return position
    }
    return undefined
  }
}

const none: readonly Citation[] = []

/** Where a URL ends of which `end` is the end as far as it is known; undefined if it goes on, so that it is another one. */
function urlEnd(text: string, end: number, isEnd: boolean): number | undefined | Undecided {
  const slashed = text[end] === '/' ? end + 1 : end
  for (let position = slashed; ; position++) {
    if (position === text.length) return isEnd ? slashed : 'wait'
    if (!punctuation.test(text[position]!)) {
      const code = text.codePointAt(position)!
      const isHalf = code >= 0xd800 && code <= 0xdbff && position + 1 === text.length
      if (isHalf && !isEnd) return 'wait'
      return urlCharacter.test(String.fromCodePoint(code)) ? undefined : slashed
    }
    if (position - slashed === longestPunctuation) return slashed
  }
}

/** Where the link ends whose URL ended at `end`. */
function endOfLink(text: string, end: number, isEnd: boolean): number | undefined | Undecided {
  const rest = text.slice(end, end + longestLinkTitle)
  const match = linkEnd.exec(rest)
  if (match) return end + match[0].length
  const isOpen = rest.length < longestLinkTitle && !isEnd && mayEndLink(rest)
  return isOpen ? 'wait' : undefined
}

/** True if a text may begin with the end of a link once there is more of it. */
function mayEndLink(rest: string): boolean {
  return /^>?(?:[ \t]+(?:"[^"\n]*(?:"[ \t]*)?|'[^'\n]*(?:'[ \t]*)?)?)?$/.test(rest)
}
