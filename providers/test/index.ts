import { defineProvider, upstreamError } from '@hadrian/core/provider'

import { delay, play } from './playback.ts'
import { scriptOf } from './script.ts'

/** Models to list: those worth a try by hand. Every other name works too. */
const listed = ['echo', 'tools', 'reasoning']

/** Seconds in the Retry-After of 429 and 503. */
const retryAfterSeconds = '1'

export default defineProvider({
  name: 'test',
  api: 1,
  description: 'Deterministic answers and scripted faults, for demos and tests.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      models: {
        type: 'array',
        items: { type: 'string' },
        default: [],
        description: 'More model names to list. Every name answers, listed or not.',
      },
    },
  },
  defaults: [{ instance: 'test', environment: {} }],
  setup({ options, clock }) {
    return {
      capabilities: {
        operations: ['generate', 'completions', 'embeddings'],
        dialects: {},
        tools: true,
        jsonSchema: true,
        reasoning: true,
        choices: true,
        input: ['image', 'audio', 'file'],
      },
      async send(request, target, signal) {
        const script = scriptOf(target.model)
        if (script.slowMs > 0) await delay(clock, script.slowMs, signal)
        const { status } = script
        if (status !== undefined) {
          throw upstreamError(target.provider, {
            status,
            code: `scripted_${status}`,
            message: `HTTP ${status}, as the model name asks`,
            ...((status === 429 || status === 503) && { headers: { 'retry-after': retryAfterSeconds } }),
          })
        }
        return play({ request, target, script, clock, signal })
      },
      models: () => [...new Set([...listed, ...options.models])].map((id) => ({ id, ownedBy: 'hadrian' })),
    }
  },
})
