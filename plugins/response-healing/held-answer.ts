import type { PartEvent, StreamEvent, TextEvent } from '@hadrian/core/plugin'
import { longestText } from './heal.ts'

/** Returns the repaired text, or undefined to let the text be. */
export type Repair = (text: string) => string | undefined

/** What one choice holds back. */
interface HeldChoice {
  /** Text, and the parts that came after it. */
  events: (TextEvent | PartEvent)[]
  length: number
  /** Too long to be repaired: everything passes from here on. */
  given?: boolean
}

/**
 * Holds back the text of each choice until its end, and repairs it there. Thinking and tool calls pass. Text before a
 * tool call is no JSON answer, so it goes out as it is, and so does the text of a choice that did not end by itself.
 */
export class HeldAnswer {
  readonly #repair: Repair
  readonly #choices = new Map<number, HeldChoice>()

  constructor(repair: Repair) {
    this.#repair = repair
  }

  /** What goes out when this event comes in. */
  push(event: StreamEvent): readonly StreamEvent[] {
    switch (event.type) {
      case 'text':
        return event.refusal ? [...this.#release(event.choice), event] : this.#hold(event)
      case 'part':
        return this.#choice(event.choice).events.length > 0 ? this.#hold(event) : [event]
      case 'tool_call':
        return [...this.#release(event.choice), event]
      case 'finish':
        return [...(event.reason === 'stop' ? this.#healed(event.choice) : this.#release(event.choice)), event]
      case 'error':
        return [...this.rest(), event]
      default:
        return [event]
    }
  }

  /** What is left of an answer that was cut. */
  rest(): readonly StreamEvent[] {
    return [...this.#choices.keys()].flatMap((choice) => this.#release(choice))
  }

  #hold(event: TextEvent | PartEvent): readonly StreamEvent[] {
    const choice = this.#choice(event.choice)
    if (choice.given) return [event]
    choice.events.push(event)
    if (event.type === 'text') choice.length += event.text.length
    if (choice.length <= longestText) return []
    choice.given = true
    return this.#release(event.choice)
  }

  #release(index: number | undefined): readonly StreamEvent[] {
    const choice = this.#choice(index)
    const { events } = choice
    choice.events = []
    choice.length = 0
    return events
  }

  #healed(index: number | undefined): readonly StreamEvent[] {
    const events = this.#release(index)
    const first = events.find((event): event is TextEvent => event.type === 'text')
    if (!first) return events
    const healed = this.#repair(events.map((event) => (event.type === 'text' ? event.text : '')).join(''))
    if (healed === undefined) return events
    const { native: _native, logprobs: _logprobs, ...place } = first
    return [{ ...place, text: healed }, ...events.filter((event) => event.type === 'part')]
  }

  #choice(index = 0): HeldChoice {
    let choice = this.#choices.get(index)
    if (!choice) this.#choices.set(index, (choice = { events: [], length: 0 }))
    return choice
  }
}
