import type { FinishEvent, FinishReason, GenerateRequest, StreamEvent, Usage } from '@hadrian/core/provider'

import { choicesFor, type Piece } from './answer.ts'
import { embeddingEvents } from './embeddings.ts'
import type { Script } from './script.ts'
import { charactersOf, promptLength, tokensOf } from './text.ts'

/** One choice while it is played. */
interface OpenChoice {
  readonly pieces: Iterator<Piece>
  /** UTF-16 code units that may still come. */
  left: number
  length: number
  reasoningLength: number
  finish: FinishReason
}

/** The pieces of all choices in turn, one of each, as a server that generates them in parallel would send them. */
export class Rounds {
  readonly #request: GenerateRequest
  readonly #choices: readonly OpenChoice[]

  constructor(request: GenerateRequest, script: Script) {
    this.#request = request
    const choices = request.operation === 'embeddings' ? [] : choicesFor(request, script)
    this.#choices = choices.map(({ pieces, finish }) => ({
      pieces: pieces[Symbol.iterator](),
      left: request.maxOutputTokens === undefined ? Infinity : charactersOf(request.maxOutputTokens),
      length: 0,
      reasoningLength: 0,
      finish,
    }))
  }

  /** The pieces, made as they are pulled. */
  *pieces(): Generator<StreamEvent, void> {
    if (this.#request.operation === 'embeddings') yield* embeddingEvents(this.#request)
    const open = new Map(this.#choices.entries())
    while (open.size > 0) {
      for (const [index, choice] of open) {
        const piece = next(choice)
        if (!piece) open.delete(index)
        else yield this.#choices.length === 1 ? piece : { ...piece, choice: index }
      }
    }
  }

  /** Tokens of the prompt, and of all pieces pulled so far. */
  usage(): Usage {
    const sum = (count: (choice: OpenChoice) => number): number =>
      this.#choices.reduce((total, choice) => total + count(choice), 0)
    const reasoningTokens = sum((choice) => tokensOf(choice.reasoningLength))
    return {
      inputTokens: tokensOf(promptLength(this.#request)),
      outputTokens: sum((choice) => tokensOf(choice.length)),
      ...(reasoningTokens > 0 && { reasoningTokens }),
    }
  }

  /** How each choice ends. Embeddings end too, so that they are not taken for cut. */
  finishes(): readonly FinishEvent[] {
    if (this.#choices.length <= 1) return [{ type: 'finish', reason: this.#choices[0]?.finish ?? 'stop' }]
    return this.#choices.map(({ finish }, choice) => ({ type: 'finish', choice, reason: finish }))
  }
}

/** The next piece, cut to what the client's limit leaves. */
function next(choice: OpenChoice): Piece | undefined {
  const { done, value } = choice.pieces.next()
  if (done) return undefined
  const field = value.type === 'tool_call' ? 'arguments' : 'text'
  const text = (value as { readonly [name in typeof field]?: string })[field]
  if (text === undefined) return value
  if (choice.left < text.length) choice.finish = 'length'
  if (choice.left === 0) return undefined
  const kept = text.slice(0, choice.left)
  choice.left -= kept.length
  choice.length += kept.length
  if (value.type === 'reasoning') choice.reasoningLength += kept.length
  return { ...value, [field]: kept }
}
