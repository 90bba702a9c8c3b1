import type { GenerateRequest, Message, Target } from '@hadrian/core/plugin'
import type { Encoding } from './token-counter.ts'
import { isInstructions } from './units.ts'

/** What the operator's options say about targets. */
export interface RoomOptions {
  /** How many more tokens than OpenAI's tokenizer those of other vendors may make of a text, in percent. */
  readonly marginPercent: number
  readonly claudeMessageLimit: number
}

/** How much a target takes. */
export interface TargetRoom {
  /** The target's context, in its own tokens. */
  readonly contextLength: number
  /** Tokens that the answer may need. */
  readonly outputTokens: number
  /** What is left for the input, in its own tokens; negative if the answer alone is too long. */
  readonly inputTokens: number
  /** The same in tokens of `encoding`, less the margin: what a counted input may have. */
  readonly countedTokens: number
  /** Most messages, instructions not among them; Infinity where there is no limit. */
  readonly messages: number
  readonly encoding: Encoding
}

/** Where the client sets no limit, an answer gets this share of the context: enough for one, and rarely in the way. */
const unstatedShare = 1 / 8

const cl100kModels = /(?:^|[/.:])(?:gpt-4(?!o|\.|[a-z])|gpt-3\.5|gpt-35|text-embedding-(?:ada|3))/i
const o200kModels = /(?:^|[/.:])(?:gpt-4o|gpt-4\.[15]|gpt-[5-9]|gpt-oss|chatgpt-|o[1-9](?:-|$)|codex-mini)/i
const claudeModels = /claude/i

/** The room of a target; undefined if the catalog does not know its context. */
export function roomOf(
  target: Target,
  request: GenerateRequest,
  options: RoomOptions & { readonly providerType: string | undefined },
): TargetRoom | undefined {
  const contextLength = target.info?.contextLength
  if (contextLength === undefined) return undefined
  const isClaude = options.providerType === 'anthropic' || claudeModels.test(target.model)
  const outputTokens = outputTokensOf(target, request, {
    contextLength,
    statesLimit: options.providerType === 'anthropic',
  })
  const inputTokens = contextLength - outputTokens
  const { encoding, isExact } = tokenizerOf(target.model)
  return {
    contextLength,
    outputTokens,
    inputTokens,
    countedTokens: isExact ? inputTokens : Math.floor(inputTokens / (1 + options.marginPercent / 100)),
    messages: isClaude ? options.claudeMessageLimit : Infinity,
    encoding,
  }
}

/** The tokenizer of a model by its name, and whether it is the model's own. */
export function tokenizerOf(model: string): { readonly encoding: Encoding; readonly isExact: boolean } {
  if (o200kModels.test(model)) return { encoding: 'o200k_base', isExact: true }
  if (cl100kModels.test(model)) return { encoding: 'cl100k_base', isExact: true }
  return { encoding: 'o200k_base', isExact: false }
}

/**
 * Tokens that the answer may need. Anthropic's API takes no request whose input and limit together are more than the
 * context, and is always sent a limit: the model's where the client has none.
 */
function outputTokensOf(
  { info }: Target,
  { maxOutputTokens }: GenerateRequest,
  { contextLength, statesLimit }: { readonly contextLength: number; readonly statesLimit: boolean },
): number {
  if (maxOutputTokens !== undefined) return maxOutputTokens
  const ceiling = info?.maxOutputTokens ?? Infinity
  if (statesLimit && ceiling < contextLength) return ceiling
  return Math.min(ceiling, Math.floor(contextLength * unstatedShare))
}

/**
 * How many messages these are for a provider that limits them. Instructions travel apart; what the model says in one go
 * is one message, and so are the results of its tools.
 */
export function limitedMessages(messages: readonly Message[], indexes: Iterable<number> = messages.keys()): number {
  let count = 0
  let before: Message['role'] | undefined
  for (const index of indexes) {
    const message = messages[index]!
    if (isInstructions(message)) continue
    if (message.role === 'user' || message.role !== before) count++
    before = message.role
  }
  return count
}
