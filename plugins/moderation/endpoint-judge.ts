import type { Exchange, JsonObject, MediaPart } from '@hadrian/core/plugin'
import { CheckFailure } from './judge.ts'
import type { Judge, Judgement, Stretch } from './judge.ts'
import type { ModerationEndpoint } from './moderation-endpoint.ts'
import type { VerdictCache } from './verdict-cache.ts'

export interface EndpointJudgeOptions {
  readonly window_chars: number
  readonly overlap_chars: number
  /** Longest text that is judged, in characters, over all stretches of one call. */
  readonly max_chars: number
}

/** Longest input in characters: with the overlap well below what OpenAI's moderation models read. */
const inputChars = 8_000
/** Characters by which the pieces of a long text overlap. */
const seamChars = 200
/** Inputs and characters of one request. */
const mostInputs = 32
const mostChars = 64_000
/** Requests of one check that are under way at a time. */
const mostRequests = 4

/** Judges by a moderation endpoint. */
export class EndpointJudge implements Judge {
  readonly windowChars: number
  readonly contextChars: number
  readonly joins = true
  readonly #endpoint: ModerationEndpoint
  readonly #cache: VerdictCache
  readonly #options: EndpointJudgeOptions

  constructor(endpoint: ModerationEndpoint, cache: VerdictCache, options: EndpointJudgeOptions) {
    this.#endpoint = endpoint
    this.#cache = cache
    this.#options = options
    this.windowChars = options.window_chars
    this.contextChars = options.overlap_chars
  }

  async judge(exchange: Exchange, stretches: readonly Stretch[]): Promise<readonly Judgement[]> {
    const chars = stretches.reduce((sum, { text }) => sum + text.length, 0)
    const { max_chars: most, overlap_chars: overlap } = this.#options
    if (chars > most) throw new CheckFailure(`${chars} characters are more than max_chars`)
    const inputs = stretches.map(({ text }) => inputsOf(text))
    const known = await this.#found(exchange, inputs.flat())
    return stretches.map(({ text }, index) => ({
      categories: [...new Set(inputs[index]!.flatMap((input) => known.get(input) ?? []))],
      decidedTo: Math.max(0, text.length - overlap),
    }))
  }

  async judgeImages(exchange: Exchange, images: readonly MediaPart[]): Promise<readonly string[]> {
    const found = new Set<string>()
    for (const image of images) {
      const url =
        image.url ??
        (image.data === undefined ? undefined : `data:${image.mediaType ?? 'image/png'};base64,${image.data}`)
      if (url === undefined) throw new CheckFailure('an image is only named by its id')
      const key = this.#cache.key(exchange, `image ${url}`)
      let categories = this.#cache.get(key)
      if (!categories) {
        const input: JsonObject = { type: 'image_url', image_url: { url } }
        categories = (await this.#endpoint.ask(exchange, [input]))[0]!
        // What stands behind a URL changes.
        if (image.url === undefined) this.#cache.set(key, categories)
      }
      for (const category of categories) found.add(category)
    }
    return [...found]
  }

  /** The categories of each of these inputs, from the cache or from the endpoint. */
  async #found(exchange: Exchange, inputs: readonly string[]): Promise<Map<string, readonly string[]>> {
    const known = new Map<string, readonly string[]>()
    const asked: string[] = []
    for (const input of new Set(inputs)) {
      const cached = this.#cache.get(this.#cache.key(exchange, input))
      if (cached) known.set(input, cached)
      else asked.push(input)
    }
    if (asked.length === 0) return known
    const batches = batchesOf(asked)
    let next = 0
    let failed = false
    const work = async (): Promise<void> => {
      while (next < batches.length && !failed) {
        const batch = batches[next++]!
        try {
          const answers = await this.#endpoint.ask(exchange, batch)
          for (const [index, input] of batch.entries()) {
            known.set(input, answers[index]!)
            this.#cache.set(this.#cache.key(exchange, input), answers[index]!)
          }
        } catch (error) {
          failed = true
          throw error
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(mostRequests, batches.length) }, work))
    return known
  }
}

/** The text in pieces that a model can read, each with the end of the one before. Blank texts have none. */
function inputsOf(text: string): readonly string[] {
  if (text.length <= inputChars) return text.trim() === '' ? [] : [text]
  const inputs: string[] = []
  for (let at = 0; at < text.length - seamChars; at += inputChars - seamChars)
    inputs.push(text.slice(at, at + inputChars))
  return inputs.filter((input) => input.trim() !== '')
}

function batchesOf(inputs: readonly string[]): readonly (readonly string[])[] {
  const batches: string[][] = []
  let chars = 0
  for (const input of inputs) {
    const last = batches.at(-1)
    if (last && last.length < mostInputs && chars + input.length <= mostChars) last.push(input)
    else {
      batches.push([input])
      chars = 0
    }
    chars += input.length
  }
  return batches
}
