import type {
  FinishReason,
  JsonObject,
  Part,
  ReasoningPart,
  StreamEvent,
  TextPart,
  ToolCallPart,
  Usage,
  Warning,
} from './canonical.ts'
import type { GatewayError } from './errors.ts'

/** One choice of a whole answer. */
export interface AnswerChoice {
  readonly index: number
  /** In the order the blocks began. */
  readonly content: readonly Part[]
  readonly finishReason?: FinishReason
  readonly rawFinishReason?: string
  readonly logprobs?: readonly JsonObject[]
}

/** A whole answer: what a sequence of events adds up to. */
export interface Answer {
  readonly id?: string
  readonly model?: string
  readonly created?: number
  /** `native` of the start event: the upstream's own fields about the answer, for an encoder of the same dialect. */
  readonly native?: JsonObject
  readonly choices: readonly AnswerChoice[]
  readonly usage?: Usage
  readonly warnings: readonly Warning[]
  readonly error?: GatewayError
}

interface OpenChoice {
  readonly index: number
  readonly content: Part[]
  /** Position in `content` of the open block of each key, so that interleaved blocks find their own. */
  readonly open: Map<string, number>
  finishReason?: FinishReason
  rawFinishReason?: string
  logprobs?: JsonObject[]
}

/**
 * Adds events up to an {@link Answer}. Used by the encoders of whole bodies, by plugins that need the whole text, and to
 * compare a streamed with a non-streamed answer in tests.
 */
export class AnswerBuilder {
  readonly #choices = new Map<number, OpenChoice>()
  readonly #warnings: Warning[] = []
  #start: { id?: string; model?: string; created?: number; native?: JsonObject } = {}
  #usage: Usage | undefined
  #error: GatewayError | undefined

  push(event: StreamEvent): void {
    switch (event.type) {
      case 'start':
        this.#start = {
          ...this.#start,
          ...(event.id !== undefined && { id: event.id }),
          ...(event.model !== undefined && { model: event.model }),
          ...(event.created !== undefined && { created: event.created }),
          ...(event.native !== undefined && { native: event.native }),
        }
        break
      case 'text': {
        const choice = this.#choice(event.choice)
        const key = `text ${event.block ?? ''} ${event.refusal === true}`
        append(choice, key, { type: 'text', text: '', ...(event.refusal && { refusal: true }) }, (part: TextPart) => ({
          ...part,
          text: part.text + event.text,
        }))
        if (event.logprobs) (choice.logprobs ??= []).push(...event.logprobs)
        break
      }
      case 'reasoning':
        append(
          this.#choice(event.choice),
          `reasoning ${event.block ?? ''} ${event.id ?? ''}`,
          { type: 'reasoning' },
          (part: ReasoningPart) => ({
            ...part,
            ...(event.text !== undefined && { text: (part.text ?? '') + event.text }),
            ...(event.summary !== undefined && { summary: (part.summary ?? '') + event.summary }),
            ...(event.signature !== undefined && { signature: event.signature }),
            ...(event.encrypted !== undefined && { encrypted: event.encrypted }),
            ...(event.id !== undefined && { id: event.id }),
            ...(event.format !== undefined && { format: event.format }),
          }),
        )
        break
      case 'tool_call':
        append(
          this.#choice(event.choice),
          `tool_call ${event.index}`,
          { type: 'tool_call', id: '', name: '', arguments: '' },
          (part: ToolCallPart) => ({
            ...part,
            id: event.id ?? part.id,
            name: event.name ?? part.name,
            arguments: part.arguments + (event.arguments ?? ''),
            ...(event.custom && { custom: true }),
          }),
        )
        break
      case 'part':
        this.#choice(event.choice).content.push(event.part)
        break
      case 'usage':
        this.#usage = { ...this.#usage, ...event.usage }
        break
      case 'finish': {
        const choice = this.#choice(event.choice)
        choice.finishReason = event.reason
        if (event.raw !== undefined) choice.rawFinishReason = event.raw
        break
      }
      case 'warning':
        this.#warnings.push(event.warning)
        break
      case 'error':
        this.#error = event.error
        break
    }
  }

  /** What the events so far add up to. */
  answer(): Answer {
    const choices = [...this.#choices.values()].toSorted((a, b) => a.index - b.index)
    return {
      ...this.#start,
      choices: choices.map(({ open: _, ...choice }) => choice),
      ...(this.#usage && { usage: this.#usage }),
      warnings: this.#warnings,
      ...(this.#error && { error: this.#error }),
    }
  }

  #choice(index = 0): OpenChoice {
    let choice = this.#choices.get(index)
    if (!choice) {
      choice = { index, content: [], open: new Map() }
      this.#choices.set(index, choice)
    }
    return choice
  }
}

/** Extends the open block of this key, or opens it at the end of the content. */
function append<P extends Part>(choice: OpenChoice, key: string, empty: P, extend: (part: P) => P): void {
  let position = choice.open.get(key)
  if (position === undefined) {
    position = choice.content.length
    choice.open.set(key, position)
    choice.content.push(empty)
  }
  choice.content[position] = extend(choice.content[position] as P)
}

/** The answer that a list of events adds up to. */
export function answerOf(events: Iterable<StreamEvent>): Answer {
  const builder = new AnswerBuilder()
  for (const event of events) builder.push(event)
  return builder.answer()
}

/** The events that make up a whole choice content, in order: the inverse of {@link AnswerBuilder} for one choice. */
export function eventsOf(content: readonly Part[], choice = 0): StreamEvent[] {
  let toolCalls = 0
  return content.map((part, block): StreamEvent => {
    switch (part.type) {
      case 'text':
        return { type: 'text', choice, block, text: part.text, ...(part.refusal && { refusal: true }) }
      case 'reasoning': {
        const { type, cacheControl: _, extra: __, ...fields } = part
        return { type, choice, block, ...fields }
      }
      case 'tool_call': {
        const { type, cacheControl: _, extra: __, ...fields } = part
        return { type, choice, index: toolCalls++, ...fields }
      }
      default:
        return { type: 'part', choice, part }
    }
  })
}
