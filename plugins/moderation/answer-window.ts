import { mapTexts, someText } from '@hadrian/core/plugin'
import type { Awaitable, Exchange, MediaPart, StreamEvent, TextEvent } from '@hadrian/core/plugin'
import { AnswerLane } from './answer-lane.ts'
import { readEscapes } from './json-text.ts'
import type { Judge, Judgement } from './judge.ts'

/** An event that waits, and how far each text it is part of must be safe before it goes out. */
interface HeldEvent {
  readonly event: StreamEvent
  readonly chars: number
  readonly needs: readonly (readonly [AnswerLane, number])[]
}

/** Lanes of one choice. */
interface Choice {
  readonly lanes: Map<string, AnswerLane>
  /** What the newest text is, so that another kind tells that it is over. */
  kind: string
  block: unknown
}

/** Held text beyond this goes out as soon as it is judged, although more text could change the judgement. */
const mostHeldChars = 65_536

/**
 * Holds the events of one answer back until a judge has seen their texts, and what follows them as far as it matters.
 * Events leave whole and in order. Text, refusal, thinking and each tool call of a choice are texts of their own.
 */
export class AnswerWindow {
  readonly #judge: Judge
  #held: HeldEvent[] = []
  #heldChars = 0
  #freshChars = 0
  readonly #choices = new Map<number, Choice>()
  /** Lanes that a judge should see. */
  readonly #due = new Set<AnswerLane>()
  #images: MediaPart[] = []
  readonly #looksAtImages: boolean
  #hasFinished = false

  constructor(judge: Judge, looksAtImages: boolean) {
    this.#judge = judge
    this.#looksAtImages = looksAtImages
  }

  /** Takes the next event. */
  add(event: StreamEvent): void {
    const needs: [AnswerLane, number][] = []
    let chars = 0
    const say = (lane: AnswerLane, text: string): void => {
      if (text === '') return
      needs.push([lane, lane.push(text)])
      this.#due.add(lane)
      chars += text.length
    }
    const sayWhole = (text: string): void => {
      const lane = new AnswerLane()
      say(lane, text)
      lane.paused = true
    }
    switch (event.type) {
      case 'text':
        for (const lane of this.#lanesOf(event, event.refusal ? 'refusal' : 'text', event.block)) say(lane, event.text)
        break
      case 'reasoning':
        for (const field of ['text', 'summary'] as const) {
          const text = event[field]
          if (text === undefined) continue
          for (const lane of this.#lanesOf(event, `reasoning ${field}`, `${event.block ?? ''} ${event.id ?? ''}`))
            say(lane, text)
        }
        break
      case 'tool_call':
        if (event.name !== undefined) sayWhole(event.name)
        // Only the first event of a call says of what kind it is, and that often has no arguments yet.
        for (const lane of this.#lanesOf(event, `tool_call ${event.index}`, undefined, event.custom !== true))
          if (event.arguments !== undefined) say(lane, event.arguments)
        break
      case 'part': {
        this.#pause(event.choice, undefined)
        mapTexts(event.part, (text, json) => {
          sayWhole(json ? readEscapes(text).text : text)
          return text
        })
        if (this.#looksAtImages && event.part.type === 'media' && event.part.kind === 'image')
          this.#images.push(event.part)
        break
      }
      case 'finish':
        this.#pause(event.choice, undefined)
        this.#choices.delete(event.choice ?? 0)
        this.#hasFinished = true
        break
      case 'error':
        this.end()
        break
      default:
    }
    this.#freshChars += chars
    this.#heldChars += chars
    this.#held.push({ event: this.#withoutUnjudged(event), chars, needs })
  }

  /**
   * The event without what shows text that no lane has: the tokens that the model did not choose, and the provider's own
   * object behind it. Where a judge cannot tell at once, prose in that object is enough.
   */
  #withoutUnjudged(event: StreamEvent): StreamEvent {
    const { logprobs, native } = event as Partial<TextEvent>
    if (!logprobs && !native) return event
    const flags = (text: string): boolean => this.#judge.flags?.(text) === true
    const isProse = (text: string): boolean => (this.#judge.flags ? flags(text) : /\s/.test(text))
    const dropsNative = native !== undefined && someText(native, isProse)
    const dropsLogprobs = logprobs !== undefined && someText(logprobs, flags)
    if (!dropsNative && !dropsLogprobs) return event
    const kept = { ...event } as { native?: unknown; logprobs?: unknown }
    if (dropsNative) delete kept.native
    if (dropsLogprobs) delete kept.logprobs
    return kept as StreamEvent
  }

  /** Everything has come: what is left is judged as it stands. */
  end(): void {
    for (const choice of this.#choices.keys()) this.#pause(choice, undefined)
    this.#hasFinished = true
  }

  /** Whether enough has come for a verdict. */
  get isDue(): boolean {
    return this.#hasFinished || this.#freshChars >= this.#judge.windowChars
  }

  /** Has everything judged that was not. Returns the categories found. */
  judge(exchange: Exchange): Awaitable<readonly string[]> {
    const lanes = [...this.#due].filter((lane) => lane.isDue(this.#judge.joins))
    const images = this.#images
    this.#freshChars = 0
    this.#hasFinished = false
    this.#images = []
    this.#due.clear()
    if (lanes.length === 0 && images.length === 0) return []
    const judged =
      lanes.length === 0
        ? []
        : this.#judge.judge(
            exchange,
            lanes.map((lane) => lane.stretch()),
          )
    if (!(judged instanceof Promise) && images.length === 0) return this.#take(lanes, judged, [])
    return Promise.all([judged, images.length === 0 ? [] : (this.#judge.judgeImages?.(exchange, images) ?? [])]).then(
      ([judgements, found]) => this.#take(lanes, judgements, found),
    )
  }

  /** The events that may go out now. `all`: nothing follows. */
  release(all = false): readonly StreamEvent[] {
    if (this.#heldChars > mostHeldChars) for (const { needs } of this.#held) for (const [lane] of needs) lane.letGo()
    let count = 0
    // Events without text wait for the next text: a refusal before the first text can still be a clean error.
    for (const [index, { needs }] of this.#held.entries()) {
      if (!needs.every(([lane, place]) => lane.isSafe(place))) break
      if (needs.length > 0 || all) count = index + 1
    }
    if (count === 0) return []
    const released = this.#held.slice(0, count)
    this.#held = this.#held.slice(count)
    for (const { chars } of released) this.#heldChars -= chars
    return released.map(({ event }) => event)
  }

  /** Nobody could say anything of what has come: it may go out all the same. */
  pass(): void {
    for (const { needs } of this.#held) for (const [lane] of needs) lane.pass()
  }

  #take(lanes: readonly AnswerLane[], judgements: readonly Judgement[], found: readonly string[]): readonly string[] {
    for (const [index, lane] of lanes.entries()) lane.take(judgements[index]!, this.#judge.contextChars)
    return [...new Set([...found, ...judgements.flatMap(({ categories }) => categories)])]
  }

  /**
   * The texts that a piece belongs to. A client may see each block by itself or all of them joined; where that makes a
   * difference to the judge, it is told of both.
   */
  #lanesOf(event: { readonly choice?: number }, kind: string, block: unknown, json = false): AnswerLane[] {
    const index = event.choice ?? 0
    let choice = this.#choices.get(index)
    if (!choice) this.#choices.set(index, (choice = { lanes: new Map(), kind, block }))
    if (choice.kind !== kind) this.#pause(index, kind)
    else if (choice.block !== block) this.#pauseBlock(choice)
    choice.kind = kind
    choice.block = block
    const joined = laneOf(choice, kind, json)
    return block === undefined || this.#judge.joins ? [joined] : [joined, laneOf(choice, `${kind} block`, json)]
  }

  /** Something else follows in a choice. Parallel tool calls may take turns, so that one does not end another. */
  #pause(index = 0, kind: string | undefined): void {
    const choice = this.#choices.get(index)
    if (!choice) return
    const isCall = kind?.startsWith('tool_call') === true
    for (const [name, lane] of choice.lanes) {
      if (isCall && name.startsWith('tool_call')) continue
      lane.paused = true
      this.#due.add(lane)
    }
    this.#pauseBlock(choice)
  }

  #pauseBlock({ lanes, kind }: Choice): void {
    const lane = lanes.get(`${kind} block`)
    if (!lane) return
    lane.paused = true
    this.#due.add(lane)
    lanes.delete(`${kind} block`)
  }
}

function laneOf({ lanes }: Choice, name: string, json: boolean): AnswerLane {
  let lane = lanes.get(name)
  if (!lane) lanes.set(name, (lane = new AnswerLane(json)))
  return lane
}
