import { definePlugin } from '@hadrian/core/plugin'
import type { Exchange, Target } from '@hadrian/core/plugin'
import { isKnownUnfit } from './fit.ts'

const patternSchema = {
  type: 'array',
  items: { type: 'string', minLength: 1 },
  default: [],
} as const

export default definePlugin({
  name: 'router',
  api: 1,
  description: 'Orders and filters the targets of a request.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      prefer: {
        ...patternSchema,
        description: 'Targets to try first, best first: names of providers, or `provider/model` with `*` for any text.',
      },
      exclude: {
        ...patternSchema,
        description: 'Targets never to try, written as in `prefer`.',
      },
    },
  },

  setup({ options }) {
    const preferred = options.prefer.map(patternOf)
    const excluded = options.exclude.map((source) => ({ source, matches: patternOf(source) }))

    return {
      route(exchange) {
        const { targets } = exchange
        for (const target of targets) {
          const reason = excluded.find(({ matches }) => matches(target))
          if (reason) exchange.exclude(target, `router: exclude "${reason.source}"`)
        }
        if (exchange.targets.length < 2) return
        const ordered = order(exchange, preferred)
        if (ordered.some((target, index) => target !== exchange.targets[index])) exchange.targets = ordered
      },
    }
  },
})

type Pattern = (target: Target) => boolean

/** `openai` is every target of that provider, `openai/gpt-4*` those whose names begin so. */
function patternOf(source: string): Pattern {
  if (!source.includes('*')) return (target) => target.provider === source || target.name === source
  const expression = new RegExp(
    `^${source
      .split('*')
      .map((text) => RegExp.escape(text))
      .join('[^]*')}$`,
  )
  return (target) => expression.test(target.name)
}

/** The targets, each group of one requested model in the order of how well they fit; equal ones stay as they were. */
function order(exchange: Exchange, preferred: readonly Pattern[]): Target[] {
  const inputTokens = exchange.targets.some((target) => target.info?.contextLength !== undefined)
    ? exchange.estimateInputTokens()
    : 0
  const ranked = exchange.targets.map((target) => {
    const place = preferred.findIndex((matches) => matches(target))
    return {
      target,
      tooSmall: Number((target.info?.contextLength ?? Infinity) < inputTokens),
      unfit: Number(isKnownUnfit(target, exchange.request)),
      place: place < 0 ? preferred.length : place,
    }
  })
  // A map keeps the groups in the order in which the client named the models.
  return [...Map.groupBy(ranked, ({ target }) => target.requested).values()]
    .flatMap((group) => group.toSorted((a, b) => a.tooSmall - b.tooSmall || a.unfit - b.unfit || a.place - b.place))
    .map(({ target }) => target)
}
