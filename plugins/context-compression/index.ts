import { definePlugin } from '@hadrian/core/plugin'
import type { Attempt, Exchange, GenerateRequest, Reply, Target } from '@hadrian/core/plugin'
import { compress, countInput } from './compress.ts'
import type { Compression } from './compress.ts'
import { surelyFits } from './message-texts.ts'
import { limitedMessages, roomOf } from './target-room.ts'
import type { TargetRoom } from './target-room.ts'
import { TokenCounter } from './token-counter.ts'

const name = 'context-compression'

export default definePlugin({
  name,
  api: 1,
  description: 'Drops and cuts from the middle of a conversation until it fits the context of the target.',
  // What the others put into the request counts for the choice of a target. Counting a huge prompt takes its time.
  order: { after: ['file-parser', 'web'] },
  timeoutMs: 30_000,
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      implied_context_length: {
        type: 'integer',
        minimum: 0,
        default: 8_192,
        description: 'Targets with at most this context are compressed for without being asked; 0: none.',
      },
      margin_percent: {
        type: 'integer',
        minimum: 0,
        maximum: 400,
        default: 30,
        description: "How many more tokens than OpenAI's a tokenizer of another vendor may make of the same text.",
      },
      claude_message_limit: {
        type: 'integer',
        minimum: 4,
        default: 1_000,
        description: 'Most messages for Claude models, instructions not counted.',
      },
    },
  },
  params: {
    type: 'object',
    additionalProperties: false,
    properties: {
      engine: {
        enum: ['middle-out'],
        default: 'middle-out',
        description: 'How: what is dropped or cut is the middle of the conversation.',
      },
    },
  },

  setup({ options, catalog, retain }) {
    const types = new Map(catalog.providers.map((provider) => [provider.name, provider.type]))
    const counter = retain('context-compression.counter', () => new TokenCounter())
    const roomAt = (target: Target, request: GenerateRequest): TargetRoom | undefined =>
      roomOf(target, request, {
        marginPercent: options.margin_percent,
        claudeMessageLimit: options.claude_message_limit,
        providerType: types.get(target.provider),
      })
    const isSmall = ({ info }: Target): boolean =>
      info?.contextLength !== undefined && info.contextLength <= options.implied_context_length
    /** The kernel asks `implied` unless the operator applies the plugin always. */
    let isOnRequest = false
    const wasAskedFor = (request: GenerateRequest): boolean =>
      !isOnRequest || (request.plugins?.some(({ id }) => id === name) ?? false)

    const prefersLarge = async (exchange: Exchange, outputTokens: number): Promise<void> => {
      const counting = { counter, encoding: 'o200k_base' as const, signal: exchange.signal }
      exchange.targets = largeFirst(
        exchange.targets,
        ((await countInput(exchange.request, counting)) + outputTokens) / 2,
      )
    }

    const compressed = async (
      exchange: Exchange,
      {
        attempt,
        room,
        next,
      }: { readonly attempt: Attempt; readonly room: TargetRoom; readonly next: () => Promise<Reply> },
    ): Promise<Reply> => {
      const { target, request } = attempt
      const done = await compress(request, target, { counter, encoding: room.encoding, signal: exchange.signal, room })
      if (done) {
        attempt.edit(() => done.request)
        exchange.warn(warningOf(done, target))
      }
      return next()
    }

    return {
      implied(_request, targets) {
        isOnRequest = true
        return targets.some(isSmall)
      },

      transform(exchange) {
        const { request, targets, operation } = exchange
        if (operation !== 'generate' || targets.length < 2 || !wasAskedFor(request)) return undefined
        const smallest = Math.min(...targets.map(contextOf))
        const outputTokens = request.maxOutputTokens ?? 0
        if (smallest === Infinity || surelyFits(request, 2 * smallest - outputTokens)) return undefined
        return prefersLarge(exchange, outputTokens)
      },

      attempt(exchange, attempt, next): Promise<Reply> {
        const { target, request } = attempt
        if (exchange.operation !== 'generate' || !answersInText(target)) return next()
        if (!isSmall(target) && !wasAskedFor(exchange.request)) return next()
        const room = roomAt(target, request)
        if (!room || fitsAsItIs(request, room)) return next()
        return compressed(exchange, { attempt, room, next })
      },
    }
  },
})

/** Models that make nothing but pictures read the prompt otherwise. */
function answersInText({ info }: Target): boolean {
  return info?.outputModalities?.includes('text') ?? true
}

function fitsAsItIs(request: GenerateRequest, room: TargetRoom): boolean {
  const { messages } = request
  if (messages.length > room.messages && limitedMessages(messages) > room.messages) return false
  return surelyFits(request, room.inputTokens)
}

/** What is not known is no reason to put a target last. */
function contextOf({ info }: Target): number {
  return info?.contextLength ?? Infinity
}

/** Targets with at least half of the context that is needed come first, in their order; the others by their size. */
function largeFirst(targets: readonly Target[], half: number): readonly Target[] {
  return [
    ...targets.filter((target) => contextOf(target) >= half),
    ...targets.filter((target) => contextOf(target) < half).toSorted((a, b) => contextOf(b) - contextOf(a)),
  ]
}

function warningOf(done: Compression, target: Target): Parameters<Exchange['warn']>[0] {
  return {
    code: 'context_compressed',
    param: 'messages',
    message:
      `For ${target.name}, ${done.messagesDropped} of ${done.messagesBefore} messages were left out and ` +
      `${done.messagesCut} cut: ${done.tokensAfter} tokens of ${done.tokensBefore} are left`,
    details: {
      target: target.name,
      messages_before: done.messagesBefore,
      messages_dropped: done.messagesDropped,
      messages_cut: done.messagesCut,
      tokens_before: done.tokensBefore,
      tokens_after: done.tokensAfter,
    },
  }
}
