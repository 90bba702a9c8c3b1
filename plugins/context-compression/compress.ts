import { gatewayError } from '@hadrian/core/plugin'
import type { GenerateRequest, Message, Target } from '@hadrian/core/plugin'
import { cutText } from './cut-text.ts'
import type { Counting } from './cut-text.ts'
import { countableOf, surroundingsOf, withTexts } from './message-texts.ts'
import type { Countable, TextPlace } from './message-texts.ts'
import { middleOut } from './middle-out.ts'
import type { Candidate, Choice, Fate } from './middle-out.ts'
import { limitedMessages } from './target-room.ts'
import type { TargetRoom } from './target-room.ts'
import type { Encoding } from './token-counter.ts'
import { unitsOf } from './units.ts'

/** What was done to a conversation. Tokens are those of the whole input, counted. */
export interface Compression {
  readonly request: GenerateRequest
  readonly messagesBefore: number
  readonly messagesDropped: number
  readonly messagesCut: number
  readonly tokensBefore: number
  readonly tokensAfter: number
}

/** Tokens of a message, and of each of its texts that may be cut. */
interface Counted {
  readonly tokens: number
  readonly texts: readonly number[]
}

/** A request is often counted for several targets: its messages are counted once, and forgotten with it. */
const known: Readonly<Record<Encoding, WeakMap<Message, Counted>>> = {
  o200k_base: new WeakMap(),
  cl100k_base: new WeakMap(),
}

/** Counts the input of a request. */
export async function countInput(request: GenerateRequest, counting: Counting): Promise<number> {
  const counted = await countMessages(request.messages, counting)
  return sum(counted.map(({ tokens }) => tokens)) + (await surroundingTokens(request, counting))
}

/**
 * Drops and cuts from the middle of the conversation until it fits. Undefined if it fits as it is.
 *
 * @throws GatewayError `invalid_request_error` if what must be kept does not fit
 */
export async function compress(
  request: GenerateRequest,
  target: Target,
  { room, ...counting }: Counting & { readonly room: TargetRoom },
): Promise<Compression | undefined> {
  const { messages } = request
  const around = await surroundingTokens(request, counting)
  const counted = await countMessages(messages, counting)
  const units = unitsOf(messages)
  const candidates = units.map(({ messages: indexes, keep, mayBeCut }): Candidate => {
    const ofUnit = indexes.map((index) => counted[index]!)
    return {
      keep,
      tokens: sum(ofUnit.map(({ tokens }) => tokens)),
      messages: limitedMessages(messages, indexes),
      cuttable: mayBeCut ? ofUnit.flatMap(({ texts }) => texts) : [],
    }
  })
  const tokensBefore = around + sum(candidates.map(({ tokens }) => tokens))
  if (tokensBefore <= room.countedTokens && limitedMessages(messages) <= room.messages) return undefined
  const choice = middleOut(candidates, { tokens: room.countedTokens - around, messages: room.messages })
  if ('needs' in choice) throw tooLong(choice, target, { room, around, tokensBefore })
  const fates: (Fate | undefined)[] = []
  for (const [index, fate] of choice.fates.entries())
    for (const message of units[index]!.messages) fates[message] = fate
  const kept: Message[] = []
  let tokensAfter = around
  let messagesCut = 0
  for (const [index, message] of messages.entries()) {
    const fate = fates[index]
    if (!fate?.kept) continue
    const result = await cutMessage(message, counted[index]!, { ...counting, cutTo: fate.cutTo })
    kept.push(result.message)
    tokensAfter += result.tokens
    if (result.message !== message) messagesCut++
  }
  return {
    request: kept.length === messages.length && messagesCut === 0 ? request : { ...request, messages: kept },
    messagesBefore: messages.length,
    messagesDropped: messages.length - kept.length,
    messagesCut,
    tokensBefore,
    tokensAfter,
  }
}

/** Cuts every text of a message that has more tokens than these. */
async function cutMessage(
  message: Message,
  counted: Counted,
  { cutTo = Infinity, ...counting }: Counting & { readonly cutTo: number | undefined },
): Promise<{ readonly message: Message; readonly tokens: number }> {
  if (!counted.texts.some((size) => size > cutTo)) return { message, tokens: counted.tokens }
  const { places, texts } = countableOf(message)
  const changed = new Map<TextPlace, string>()
  let { tokens } = counted
  for (const [index, size] of counted.texts.entries()) {
    if (size <= cutTo) continue
    const cut = await cutText(texts[index]!, cutTo, counting)
    changed.set(places[index]!, cut.text)
    tokens += cut.tokens - size
  }
  return { message: withTexts(message, changed), tokens }
}

async function countMessages(messages: readonly Message[], counting: Counting): Promise<readonly Counted[]> {
  const memory = known[counting.encoding]
  const found = messages.map((message) => memory.get(message))
  const missing = messages.filter((_, index) => found[index] === undefined)
  if (missing.length === 0) return found as readonly Counted[]
  const counted = (await countAll(missing.map(countableOf), counting)).values()
  return messages.map((message, index) => {
    const before = found[index]
    if (before) return before
    const now = counted.next().value!
    memory.set(message, now)
    return now
  })
}

/** Counts many in one go, since every question to the counter takes a turn of the event loop. */
async function countAll(countables: readonly Countable[], counting: Counting): Promise<readonly Counted[]> {
  const { counter, encoding, signal } = counting
  const all = countables.flatMap(({ texts, wholes }) => [...texts, ...wholes])
  const counts = await counter.count(all, encoding, signal)
  let next = 0
  return countables.map(({ texts, wholes, fixedTokens }) => {
    const ofTexts = counts.slice(next, next + texts.length)
    const ofWholes = counts.slice(next + texts.length, next + texts.length + wholes.length)
    next += texts.length + wholes.length
    return { tokens: fixedTokens + sum(ofTexts) + sum(ofWholes), texts: ofTexts }
  })
}

async function surroundingTokens(request: GenerateRequest, counting: Counting): Promise<number> {
  return (await countAll([surroundingsOf(request)], counting))[0]!.tokens
}

/** Another target may have room for it, hence retryable. */
function tooLong(
  { needs }: Extract<Choice, { readonly needs: unknown }>,
  target: Target,
  { room, around, tokensBefore }: { readonly room: TargetRoom; readonly around: number; readonly tokensBefore: number },
): Error {
  const smallest = needs.tokens + around
  const most = Math.max(0, room.countedTokens)
  const message =
    smallest > most
      ? `The conversation cannot be compressed into the context of ${target.name}: ` +
        `what must be kept has ${smallest} tokens, and there is room for ${most} ` +
        `(${room.contextLength} of context, ${room.outputTokens} of them for the answer)`
      : `The conversation cannot be compressed for ${target.name}: ` +
        `what must be kept has ${needs.messages} messages, and it takes ${room.messages}`
  return gatewayError('invalid_request_error', message, {
    param: 'messages',
    details: {
      target: target.name,
      context_length: room.contextLength,
      output_tokens: room.outputTokens,
      room_tokens: most,
      input_tokens: tokensBefore,
      smallest_input_tokens: smallest,
      errors: [{ path: 'messages', message: 'is too long' }],
    },
    retryable: true,
  })
}

function sum(numbers: readonly number[]): number {
  let total = 0
  for (const each of numbers) total += each
  return total
}
