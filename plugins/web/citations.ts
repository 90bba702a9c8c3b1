import type { PartEvent, StreamEvent } from '@hadrian/core/plugin'
import { CitationMatcher } from './citation-matcher.ts'
import type { Citation } from './citation-matcher.ts'
import type { SearchResult } from './search.ts'

/** Annotations of one choice; a model that writes the same link for ever gets no more. */
const mostAnnotations = 200

interface ChoiceState {
  readonly matcher: CitationMatcher
  annotations: number
}

/** Annotates the text of every choice of an answer with the results that it cites. */
export class Citations {
  readonly #results: readonly SearchResult[]
  readonly #choices = new Map<number, ChoiceState>()

  constructor(results: readonly SearchResult[]) {
    this.#results = results
  }

  /** What to send in place of the event; undefined for the event as it is. */
  push(event: StreamEvent): readonly StreamEvent[] | undefined {
    if (event.type === 'text') {
      if (event.refusal) return undefined
      const index = event.choice ?? 0
      const state = this.#choice(index)
      const parts = annotations(state, state.matcher.push(event.text), event.choice)
      return parts.length === 0 ? undefined : [event, ...parts]
    }
    if (event.type !== 'finish') return undefined
    const parts = this.#end(event.choice ?? 0)
    return parts.length === 0 ? undefined : [...parts, event]
  }

  /** The answer has ended: what its last piece of text left open. */
  flush(): readonly StreamEvent[] {
    return [...this.#choices.keys()].flatMap((index) => this.#end(index))
  }

  #end(index: number): readonly PartEvent[] {
    const state = this.#choices.get(index)
    if (!state) return []
    this.#choices.delete(index)
    return annotations(state, state.matcher.end(), index)
  }

  #choice(index: number): ChoiceState {
    let state = this.#choices.get(index)
    if (!state) this.#choices.set(index, (state = { matcher: new CitationMatcher(this.#results), annotations: 0 }))
    return state
  }
}

function annotations(state: ChoiceState, found: readonly Citation[], choice: number | undefined): readonly PartEvent[] {
  if (found.length === 0) return none
  const kept = found.slice(0, mostAnnotations - state.annotations)
  state.annotations += kept.length
  return kept.map(({ result, start, end }) => ({
    type: 'part',
    ...(choice !== undefined && { choice }),
    part: {
      type: 'native',
      dialect: 'chat',
      value: {
        type: 'url_citation',
        url_citation: {
          url: result.url,
          title: result.title,
          ...(result.snippet !== '' && { content: result.snippet }),
          start_index: start,
          end_index: end,
        },
      },
    },
  }))
}

const none: readonly PartEvent[] = []
