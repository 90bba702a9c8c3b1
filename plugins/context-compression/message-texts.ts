import { gatewayError } from '@hadrian/core/plugin'
import type { GenerateRequest, MediaPart, Message, Part } from '@hadrian/core/plugin'

/** What stands around a message: 3 to 7 tokens in the templates of OpenAI, Llama and Qwen. */
const messageTokens = 7
/** What stands around a tool call or a result: ids and marks. */
const callTokens = 12
/** What stands around the whole: the start of the answer, a preamble. */
const requestTokens = 16
/** The instructions that come with tools: at most 346 tokens by Anthropic's list for its models since Claude 3.5. */
const toolingTokens = 350
/** A large picture: 1,600 for Claude, up to 1,445 for gpt-4o. */
const imageTokens = 1_600
/** Base64 of uncompressed speech has 64,000 characters a second, of MP3 some 10,000; models count 10 to 32 tokens. */
const soundCharactersPerToken = 1_000
/** A page of a PDF: some 50,000 characters of base64, and 1,500 to 3,000 tokens. */
const fileCharactersPerToken = 25
/** A medium that only the provider has. */
const unseenTokens = 1_600
/** Characters of base64 in a token of thinking that only the provider can read. */
const encryptedCharactersPerToken = 4

/** The place of a text that may be cut: the part of the message, and the part of a tool result inside it. */
export interface TextPlace {
  readonly part: number
  readonly inner?: number
}

/** What of a message, or of a request besides its messages, costs tokens. */
export interface Countable {
  /** Texts that may be cut, and where they are. */
  readonly places: readonly TextPlace[]
  readonly texts: readonly string[]
  /** Texts that must stay whole. */
  readonly wholes: readonly string[]
  /** Tokens of what is no text, and of what stands around it. */
  readonly fixedTokens: number
}

/** What costs tokens in a message. */
export function countableOf(message: Message): Countable {
  const places: TextPlace[] = []
  const texts: string[] = []
  const wholes: string[] = []
  let fixedTokens = messageTokens
  const read = (parts: readonly Part[], outer?: number): void => {
    for (const [index, part] of parts.entries()) {
      if (part.extra) wholes.push(written(part.extra))
      switch (part.type) {
        case 'text':
          if (part.refusal) wholes.push(part.text)
          else {
            places.push(outer === undefined ? { part: index } : { part: outer, inner: index })
            texts.push(part.text)
          }
          break
        case 'reasoning':
          for (const text of [part.text, part.summary]) if (text !== undefined) wholes.push(text)
          if (part.encrypted !== undefined)
            fixedTokens += Math.ceil(part.encrypted.length / encryptedCharactersPerToken)
          break
        case 'media':
          fixedTokens += tokensOf(part)
          break
        case 'tool_call':
          fixedTokens += callTokens
          wholes.push(part.name, part.arguments)
          break
        case 'tool_result':
          fixedTokens += callTokens
          read(part.content, index)
          break
        case 'native':
          wholes.push(written(part.value))
          break
      }
    }
  }
  read(message.content)
  if (message.name !== undefined) wholes.push(message.name)
  if (message.extra) wholes.push(written(message.extra))
  return { places, texts, wholes, fixedTokens }
}

/** What costs tokens in a request besides its messages: tools, the wanted form of the answer, fields nobody knows. */
export function surroundingsOf(request: GenerateRequest): Countable {
  const { tools = [], responseFormat, extra } = request
  const wholes = tools.map((tool) => written(tool))
  if (responseFormat && responseFormat.type !== 'text') wholes.push(written(responseFormat))
  for (const _ in extra) {
    wholes.push(written(extra))
    break
  }
  return { places: [], texts: [], wholes, fixedTokens: requestTokens + (tools.length > 0 ? toolingTokens : 0) }
}

/**
 * Whether the request has at most so many tokens for every tokenizer there is: one for each byte of text. Needs no
 * tokenizer, and looks at as little as it can.
 */
export function surelyFits(request: GenerateRequest, tokens: number): boolean {
  let left = tokens
  const fits = (countable: Countable): boolean => {
    left -= countable.fixedTokens
    for (const text of countable.texts) left -= bytesOf(text, left)
    for (const text of countable.wholes) left -= bytesOf(text, left)
    return left >= 0
  }
  return fits(surroundingsOf(request)) && request.messages.every((message) => fits(countableOf(message)))
}

/** Bytes of a text in UTF-8; of one that is too long by its characters already, those. */
function bytesOf(text: string, limit: number): number {
  return text.length > limit ? text.length : Buffer.byteLength(text)
}

function tokensOf({ kind, data }: MediaPart): number {
  if (kind === 'image') return imageTokens
  if (data === undefined) return unseenTokens
  return Math.ceil(data.length / (kind === 'file' ? fileCharactersPerToken : soundCharactersPerToken))
}

function written(value: object): string {
  try {
    return JSON.stringify(value)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw gatewayError('invalid_request_error', 'The request nests too deeply to be compressed', { cause: error })
  }
}

/** A message with other texts at some of its places. */
export function withTexts(message: Message, texts: ReadonlyMap<TextPlace, string>): Message {
  const content: Part[] = [...message.content]
  for (const [{ part: index, inner }, text] of texts) {
    const part = content[index]
    if (part?.type === 'text') content[index] = { ...part, text }
    else if (part?.type === 'tool_result' && inner !== undefined)
      content[index] = {
        ...part,
        content: part.content.map((each, position) =>
          position === inner && each.type === 'text' ? { ...each, text } : each,
        ),
      }
  }
  return { ...message, content }
}
