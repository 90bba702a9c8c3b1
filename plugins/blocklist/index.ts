import { createMatcher, definePlugin, gatewayError, stateKey } from '@hadrian/core/plugin'
import type { Hooks } from '@hadrian/core/plugin'
import { AnswerFilter } from './answer-filter.ts'
import { filterText } from './text-filter.ts'

const answerKey = stateKey<AnswerFilter>('blocklist.answer')

export default definePlugin({
  name: 'blocklist',
  api: 1,
  description: 'Refuses or redacts listed words in prompts and answers.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      words: {
        type: 'array',
        items: { type: 'string', minLength: 1 },
        default: [],
        description: 'Words and phrases to look for, as they stand.',
      },
      patterns: {
        type: 'array',
        items: { type: 'string', minLength: 1 },
        default: [],
        description: 'Regular expressions to look for. Every repetition needs an upper bound.',
      },
      whole_words: {
        type: 'boolean',
        default: true,
        description: 'Find `words` only where no letter, digit or underscore stands beside them.',
      },
      case_sensitive: { type: 'boolean', default: false, description: 'Tell capitals from small letters.' },
      action: {
        enum: ['refuse', 'redact'],
        default: 'refuse',
        description: '`refuse` answers with `content_blocked`; `redact` puts `replacement` in place of each match.',
      },
      replacement: { type: 'string', default: '[redacted]', description: 'What `redact` writes.' },
      input: { type: 'boolean', default: true, description: 'Look at prompts.' },
      output: { type: 'boolean', default: true, description: 'Look at answers.' },
      message: {
        type: 'string',
        default: 'The content was blocked by policy',
        description: 'Message of a refusal.',
      },
      categories: {
        type: 'array',
        items: { type: 'string' },
        default: ['blocklist'],
        description: '`details.categories` of a refusal.',
      },
    },
  },
  guardrail: { input: true, output: true },

  setup({ options }) {
    if (!options.input && !options.output) throw new Error('blocklist: needs at least one of input and output')
    const matcher = createMatcher(options)
    const { replacement } = options

    function found(): void {
      if (options.action === 'redact') return
      const details = { plugin: 'blocklist', categories: options.categories }
      throw gatewayError('content_blocked', options.message, { details })
    }

    const input: Hooks = {
      transform(exchange) {
        exchange.texts().replace((text, path) => {
          const filtered = filterText(matcher, replacement, text, path.endsWith('arguments'))
          if (filtered.matched) found()
          return filtered.text
        })
      },
    }
    const output: Hooks = {
      event(exchange, event) {
        let answer = exchange.get(answerKey)
        if (!answer) {
          answer = new AnswerFilter({ matcher, replacement, found })
          exchange.set(answerKey, answer)
        }
        return answer.push(event)
      },
      flush: (exchange) => exchange.get(answerKey)?.flush(),
    }
    return {
      guardrail: { input: options.input, output: options.output },
      ...(options.input && input),
      ...(options.output && output),
    }
  },
})
