import { definePlugin, gatewayError, stateKey } from '@hadrian/core/plugin'
import type { Awaitable, Exchange, Hooks, StreamEvent } from '@hadrian/core/plugin'
import { AnswerWindow } from './answer-window.ts'
import { EndpointJudge } from './endpoint-judge.ts'
import { CheckFailure } from './judge.ts'
import type { Judge } from './judge.ts'
import { createLocalJudge } from './local-judge.ts'
import { ModerationEndpoint } from './moderation-endpoint.ts'
import { moderationOptions } from './options.ts'
import { promptImages, promptTexts } from './prompt-texts.ts'
import { VerdictCache } from './verdict-cache.ts'

/** Checks of the prompt that run beside the call of the model; each rejects if the prompt may not pass. */
const pendingKey = stateKey<Promise<void>[]>('moderation.pending')

/** Characters of a refused prompt that `show_excerpt` repeats. */
const excerptChars = 100

/** What a client is told to wait after a check that came to no result. */
const retryAfterSeconds = 5

export default definePlugin({
  name: 'moderation',
  api: 1,
  description: 'Has prompts and answers judged by a moderation endpoint or by rules of your own.',
  options: moderationOptions,
  params: { type: 'object', additionalProperties: false, properties: {} },
  guardrail: { input: true, output: true },
  // Two requests of the endpoint in a row, and several batches of a long prompt.
  timeoutMs: 30_000,

  setup({ options, fetch, clock, logger }) {
    const judge = judgeOf()
    const looksAtImages = options.images && judge.judgeImages !== undefined
    const checksInput = options.check.includes('input')
    const checksOutput = options.check.includes('output')

    function judgeOf(): Judge {
      if (options.engine === 'local') {
        if (Object.keys(options.rules).length === 0) throw new Error('engine = "local" needs rules')
        if (options.images) throw new Error('engine = "local" cannot look at images')
        return createLocalJudge(options.rules)
      }
      const { api_key: key } = options
      if (key === undefined) throw new Error('engine = "openai" needs an api_key')
      const cache = new VerdictCache(clock, {
        lifetimeMs: options.cache_seconds * 1000,
        capacity: options.cache_entries,
      })
      return new EndpointJudge(new ModerationEndpoint({ ...options, api_key: key }, fetch), cache, options)
    }

    /** Refuses or warns for what was found. `excerpt`: the beginning of what was. */
    function found(exchange: Exchange, where: 'prompt' | 'answer', categories: readonly string[], text?: string): void {
      if (categories.length === 0) return
      if (options.action === 'warn') {
        const message = `The ${where} was flagged by moderation: ${categories.join(', ')}`
        exchange.warn({ code: 'content_flagged', message })
        return
      }
      const details = {
        plugin: 'moderation',
        categories,
        ...(options.show_excerpt && text !== undefined && { flagged_input: text.slice(0, excerptChars) }),
      }
      throw gatewayError('content_blocked', options.message, { details })
    }

    /** A check that came to no result is no pass, unless the operator says so. Everything else is passed on. */
    function failed(exchange: Exchange, where: 'prompt' | 'answer', error: unknown): void {
      if (!(error instanceof CheckFailure)) throw error
      logger.warn({ exchange: exchange.id, reason: error.message, cause: error.cause }, 'moderation came to no result')
      if (options.on_error === 'refuse')
        throw gatewayError('moderation_unavailable', `The ${where} could not be checked`, {
          cause: error,
          details: { plugin: 'moderation', retry_after_secs: retryAfterSeconds },
          headers: { 'Retry-After': String(retryAfterSeconds) },
        })
      exchange.warn({ code: 'moderation_failed', message: `The ${where} could not be checked, and was let through` })
    }

    function checkPrompt(exchange: Exchange): Awaitable<void> {
      const texts = promptTexts(exchange, judge.joins)
      const judged = judge.judge(
        exchange,
        texts.map((text) => ({ text, from: 0, ended: true })),
      )
      const images = looksAtImages ? promptImages(exchange.request) : []
      if (judged instanceof Promise || images.length > 0) return checkLater(exchange, texts, judged, images)
      const first = judged.findIndex(({ categories }) => categories.length > 0)
      if (first >= 0) found(exchange, 'prompt', namesOf(judged), texts[first])
    }

    async function checkLater(
      exchange: Exchange,
      texts: readonly string[],
      judged: ReturnType<typeof judge.judge>,
      images: ReturnType<typeof promptImages>,
    ): Promise<void> {
      try {
        const seeing = images.length > 0 ? judge.judgeImages?.(exchange, images) : undefined
        const [judgements, seen = []] = await Promise.all([judged, seeing])
        const first = judgements.findIndex(({ categories }) => categories.length > 0)
        found(exchange, 'prompt', [...new Set([...namesOf(judgements), ...seen])], texts[first])
      } catch (error) {
        failed(exchange, 'prompt', error)
      }
    }

    async function* checked(exchange: Exchange, events: AsyncIterable<StreamEvent>): AsyncGenerator<StreamEvent> {
      const window = new AnswerWindow(judge, looksAtImages)
      let isRefused = false
      const judgeNow = async (): Promise<void> => {
        try {
          const judged = window.judge(exchange)
          found(exchange, 'answer', judged instanceof Promise ? await judged : judged)
        } catch (error) {
          isRefused = true
          failed(exchange, 'answer', error)
          window.pass()
        }
        isRefused = false
      }
      try {
        for await (const event of events) {
          window.add(event)
          if (!exchange.request.stream || !window.isDue) continue
          await judgeNow()
          yield* window.release()
        }
      } catch (error) {
        // What the upstream gave before it broke off still goes out, if it may.
        if (exchange.signal.aborted || isRefused) throw error
        window.end()
        await judgeNow()
        yield* window.release(true)
        throw error
      }
      window.end()
      await judgeNow()
      yield* window.release(true)
    }

    const blocking: Hooks = { transform: checkPrompt }
    const alongside: Hooks = {
      transform(exchange) {
        const check = checkPrompt(exchange)
        if (!check) return
        // Awaited by every attempt; an exchange that ends before one must not leave a rejection behind.
        check.catch(() => undefined)
        const pending = exchange.get(pendingKey)
        if (pending) pending.push(check)
        else exchange.set(pendingKey, [check])
      },
      async attempt(exchange, _attempt, next) {
        const pending = exchange.get(pendingKey)
        if (!pending) return next()
        const begun = pending.length
        // Rejects as soon as one of them does, so that a refused prompt does not wait for its answer.
        const [reply] = await Promise.all([next(), ...pending])
        // The provider may have put in more, a file behind a URL, which is judged beside the call too.
        if (pending.length > begun) await Promise.all(pending.slice(begun))
        return reply
      },
    }
    return {
      // Who only warns lets everything through.
      guardrail: {
        input: checksInput && options.action === 'refuse',
        output: checksOutput && options.action === 'refuse',
      },
      ...(checksInput && (options.mode === 'block' ? blocking : alongside)),
      ...(checksOutput && { stream: checked }),
    }
  },
})

function namesOf(judgements: readonly { readonly categories: readonly string[] }[]): readonly string[] {
  return [...new Set(judgements.flatMap(({ categories }) => categories))]
}
