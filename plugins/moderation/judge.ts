import type { Awaitable, Exchange, MediaPart } from '@hadrian/core/plugin'

/** A text to judge, or what a judge needs to see of one that is still coming. */
export interface Stretch {
  readonly text: string
  /** What begins before this place was judged before; it stands there to be understood. */
  readonly from: number
  /** The text ends here. */
  readonly ended: boolean
}

/** What a judge says of one stretch. */
export interface Judgement {
  /** What was found, by name; empty for a text that may pass. */
  readonly categories: readonly string[]
  /** The text from here on may not go out yet: what follows it could change the judgement. As if it had not ended. */
  readonly decidedTo: number
}

/** Says what is wrong with texts. Answers at once where it can, so that an exchange need not wait. */
export interface Judge {
  /** Characters of an answer that are collected before they are judged. */
  readonly windowChars: number
  /** Characters before the undecided ones that a stretch of a stream begins with. */
  readonly contextChars: number
  /** Strings of one message or tool are judged as one text, since what matters is what they mean together. */
  readonly joins: boolean
  /**
   * Judges stretches, in order.
   *
   * @throws CheckFailure if it cannot say
   */
  judge(exchange: Exchange, stretches: readonly Stretch[]): Awaitable<readonly Judgement[]>
  /** Whether a text alone would be flagged, for a judge that can say so at once: of what nobody has to see. */
  flags?(text: string): boolean
  /** Categories found in any of these images. Absent: it cannot look at images. */
  judgeImages?(exchange: Exchange, images: readonly MediaPart[]): Promise<readonly string[]>
}

/** A check that came to no result. Never a pass: `on_error` decides. The message goes to the log. */
export class CheckFailure extends Error {
  override readonly name = 'CheckFailure'
}
