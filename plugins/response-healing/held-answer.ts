import type { FinishEvent, PartEvent, StreamEvent, TextEvent } from '@hadrian/core/plugin'
import { longestText } from './heal.ts'

/** What is done with the text of a choice when it has ended. */
export interface Healing {
  /** The choice ended by itself. Returns the repaired text, or undefined to let the text be. */
  repair(text: string, choice: number): string | undefined
  /** The choice reached its length limit, so its text goes out as it is. */
  truncated(text: string, choice: number): void
}

/** What one choice holds back. */
interface HeldChoice {
  /** Text, and the parts that came after it. */
  events: (TextEvent | PartEvent)[]
  length: number
  /** Too long to be repaired, or no JSON answer: everything passes from here on. */
  given?: boolean
}

/**
 * Holds back the text of each choice until its end, and repairs it there. Thinking and tool calls pass. Text beside a
 * tool call or a refusal is no JSON answer, so it goes out as it is, and so does the text of a choice that did not end by
 * itself.
 */
export class HeldAnswer {
  readonly #healing: Healing
  readonly #choices = new Map<number, HeldChoice>()

  constructor(healing: Healing) {
    this.#healing = healing
  }

  /** What goes out when this event comes in. */
  push(event: StreamEvent): readonly StreamEvent[] {
    switch (event.type) {
      case 'text':
        return event.refusal ? [...this.#giveUp(event.choice), event] : this.#hold(event)
      case 'part':
        return this.#choice(event.choice).events.length > 0 ? this.#hold(event) : [event]
      case 'tool_call':
        return [...this.#giveUp(event.choice), event]
      case 'finish':
        return [...this.#finished(event), event]
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
    return choice.length <= longestText ? [] : this.#giveUp(event.choice)
  }

  #giveUp(index: number | undefined): readonly StreamEvent[] {
    this.#choice(index).given = true
    return this.#release(index)
  }

  #release(index: number | undefined): readonly (TextEvent | PartEvent)[] {
    const choice = this.#choice(index)
    const { events } = choice
    choice.events = []
    choice.length = 0
    return events
  }

  #finished({ choice, reason }: FinishEvent): readonly StreamEvent[] {
    const events = this.#release(choice)
    const first = events.find((event): event is TextEvent => event.type === 'text')
    if (!first || (reason !== 'stop' && reason !== 'length')) return events
    const text = events.map((event) => (event.type === 'text' ? event.text : '')).join('')
    if (reason === 'length') {
      this.#healing.truncated(text, choice ?? 0)
      return events
    }
    const healed = this.#healing.repair(text, choice ?? 0)
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
