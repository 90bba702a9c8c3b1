/** Plugins that say for which exchanges they want to see the answer. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Hooks, PluginDefinition } from '../../core/contract/plugin.ts'
import { definePlugin } from '../../core/contract/plugin.ts'
import { harness } from '../../core/testing/index.ts'
import { StartupError } from '../../core/services/problems.ts'

const options = { type: 'object', properties: {}, additionalProperties: false } as const

function rewriter(hooks: Hooks, more: Partial<PluginDefinition> = {}): PluginDefinition {
  return definePlugin({ name: 'rewriter', api: 1, options, setup: () => hooks, ...more })
}

const louder: Hooks = {
  event: (_exchange, event) => (event.type === 'text' ? { ...event, text: event.text.toUpperCase() } : undefined),
}

async function said(hooks: Hooks, temperature: number): Promise<unknown> {
  await using gateway = await harness({ plugins: [rewriter(hooks)] })
  const { body } = await gateway.send({ temperature }, { headers: { 'x-hadrian-metadata': 'enabled' } })
  const { choices, hadrian_metadata: metadata } = body as {
    choices: { message: { content: string } }[]
    hadrian_metadata: { pipeline: { plugin: string }[] }
  }
  return [choices[0]!.message.content, metadata.pipeline.some(({ plugin }) => plugin === 'rewriter')]
}

describe('rewrites', () => {
  const warm: Hooks['rewrites'] = ({ request }) => (request.temperature ?? 0) > 1

  it('lets the answers pass that it does not want, of event and stream hooks alike', async () => {
    const streaming: Hooks = {
      async *stream(_exchange, events) {
        for await (const event of events) yield event.type === 'text' ? { ...event, text: '!' } : event
      },
    }
    assert.deepEqual(await said({ ...louder, rewrites: warm }, 2), ['HELLO THERE.', true])
    assert.deepEqual(await said({ ...louder, rewrites: warm }, 0), ['Hello there.', false])
    assert.deepEqual(await said({ ...streaming, rewrites: warm }, 2), ['!!', true])
    assert.deepEqual(await said({ ...streaming, rewrites: warm }, 0), ['Hello there.', false])
    assert.deepEqual(await said(louder, 0), ['HELLO THERE.', true])
  })

  it('is not for guardrails of output, nor for plugins that see no answer', async () => {
    const problems = async (plugin: PluginDefinition): Promise<string[]> => {
      const failure = await harness({ plugins: [plugin] }).then(
        (gateway) => gateway.stop().then(() => undefined),
        (error: unknown) => error,
      )
      assert.ok(failure instanceof StartupError)
      return failure.problems.map(({ message }) => message)
    }
    assert.deepEqual(await problems(rewriter({ ...louder, rewrites: warm }, { guardrail: { output: true } })), [
      'says it guards output, and has "rewrites", by which answers would escape it',
    ])
    assert.deepEqual(await problems(rewriter({ rewrites: warm })), ['has "rewrites" without an event or stream hook'])
  })

  it('that throws fails the exchange, and names the plugin', async () => {
    const broken: Hooks = {
      ...louder,
      rewrites() {
        throw new Error('broken')
      },
    }
    await using gateway = await harness({ plugins: [rewriter(broken)] })
    const { status, outcome } = await gateway.send()
    assert.equal(status, 500)
    assert.equal(outcome.error?.plugin, 'rewriter')
  })
})
