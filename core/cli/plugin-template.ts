import type { PackageFiles } from './package-template.ts'

/** The sources of a plugin that works: it counts the words of a prompt, and refuses too many. To be changed. */
export function pluginFiles(name: string): PackageFiles {
  const variable = variableOf(name)
  return {
    'index.ts': `import { definePlugin, gatewayError } from '@hadrian/core/plugin'

export default definePlugin({
  name: '${name}',
  api: 1,
  description: 'Refuses prompts with too many words.',
  // What an operator sets under [plugins.${name}]: a JSON Schema, by which the config is checked.
  options: {
    type: 'object',
    properties: {
      limit: { type: 'integer', minimum: 1, default: 1000, description: 'Words in all texts of a request.' },
    },
    additionalProperties: false,
  },
  // Ask for services by naming them here: logger, clock, db, catalog, fetch, run, journal, meter, tracer, ...
  setup({ options }) {
    return {
      // Return nothing to continue, return a Reply to answer, throw a GatewayError to refuse.
      transform(exchange) {
        let words = 0
        for (const text of exchange.texts()) words += text.match(/\\S+/g)?.length ?? 0
        if (words <= options.limit) return
        throw gatewayError('content_blocked', \`The prompt has \${words} words; the limit is \${options.limit}.\`, {
          details: { plugin: '${name}', words, limit: options.limit },
        })
      },
    }
  },
})
`,
    'index.test.ts': `import assert from 'node:assert/strict'
import { it } from 'node:test'
import { harness, pluginSuite } from '@hadrian/core/testing'
import ${variable} from './index.ts'

// What every plugin must stand: all endpoints, streams, failures, aborts, stops.
pluginSuite(${variable})

it('refuses long prompts before anybody is billed', async () => {
  await using gateway = await harness({ plugins: [[${variable}, { limit: 2 }]] })
  const { status } = await gateway.send({ messages: [{ role: 'user', content: 'one two three' }] })
  assert.equal(status, 400)
  assert.equal(gateway.provider.calls.length, 0)
})

it('lets short ones pass', async () => {
  await using gateway = await harness({ plugins: [[${variable}, { limit: 2 }]] })
  const { status } = await gateway.send({ messages: [{ role: 'user', content: 'one two' }] })
  assert.equal(status, 200)
})
`,
    'README.md': `# ${name}

## What it does

Counts the words of everything a model would read, on every endpoint, and refuses a request that has too many.

## Options

| Option  | Meaning                          | Default |
| ------- | -------------------------------- | ------- |
| \`limit\` | Words in all texts of a request. | \`1000\`  |

## Hooks used

\`transform\`

## Errors

| Code              | HTTP | When           |
| ----------------- | ---- | -------------- |
| \`content_blocked\` | 400  | too many words |

## Example

\`\`\`toml
[plugins.${name}]
limit = 500
\`\`\`
`,
  }
}

/** A name in camelCase, for the import: \`max-words\` is \`maxWords\`. */
export function variableOf(name: string): string {
  return name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}
