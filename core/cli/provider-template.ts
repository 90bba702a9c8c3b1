import type { PackageFiles } from './package-template.ts'
import { variableOf } from './plugin-template.ts'

/** The sources of a provider for an upstream with an API of its own, to be changed to what that upstream speaks. */
export function providerFiles(name: string): PackageFiles {
  const variable = variableOf(name)
  return {
    'index.ts': `import { defineProvider } from '@hadrian/core/provider'
import { decode, decoder } from './decode.ts'
import { encode } from './encode.ts'
import { decodeError } from './errors.ts'

export default defineProvider({
  name: '${name}',
  api: 1,
  description: 'Models of ${name}.',
  // What an operator sets under [providers.${name}]: a JSON Schema. Secrets are writeOnly, and never shown.
  options: {
    type: 'object',
    required: ['api_key', 'base_url'],
    properties: {
      api_key: { type: 'string', minLength: 1, writeOnly: true, description: 'Key of the upstream.' },
      base_url: { type: 'string', minLength: 1, description: 'Where the API is, such as https://api.example.com/v1.' },
    },
    additionalProperties: false,
  },
  // The kernel owns sockets, deadlines, cancelling, event streams and retries: the rest is data and pure functions.
  setup: ({ instance, options }) => ({
    baseUrl: options.base_url.replace(/\\/+$/, ''),
    capabilities: { operations: ['generate'], dialects: {} },
    encode,
    decode,
    decoder,
    decodeError: (status, headers, body) => decodeError(instance, status, headers, body),
    authorize: (wire) => ({ ...wire, headers: { ...wire.headers, authorization: \`Bearer \${options.api_key}\` } }),
  }),
})
`,
    'encode.ts': `import type { GenerateRequest, Part, Target, Warning, WireRequest } from '@hadrian/core/provider'

/** The request as the upstream wants it. What it cannot do is a warning: nothing is dropped in silence. */
export function encode(request: GenerateRequest, target: Target): { wire: WireRequest; warnings: Warning[] } {
  const warnings: Warning[] = []
  const textOf = (parts: readonly Part[]): string =>
    parts
      .flatMap((part) => {
        if (part.type === 'text') return [part.text]
        warnings.push({ code: 'dropped_part', message: \`\${part.type} is not supported by this upstream\` })
        return []
      })
      .join('')
  if (request.tools && request.tools.length > 0)
    warnings.push({ code: 'unsupported_parameter', param: 'tools', message: 'tools are not supported by this upstream' })
  const body = {
    model: target.model,
    turns: request.messages.map(({ role, content }) => ({ speaker: role, text: textOf(content) })),
    stream: request.stream,
    ...(request.maxOutputTokens !== undefined && { limit: request.maxOutputTokens }),
    ...(request.temperature !== undefined && { temperature: request.temperature }),
  }
  return { wire: { method: 'POST', path: '/generate', headers: {}, body, dialect: '${name}' }, warnings }
}
`,
    'decode.ts': `import { gatewayError } from '@hadrian/core/provider'
import type { Decoder, StreamEvent, Usage } from '@hadrian/core/provider'

interface Answer {
  readonly text?: string
  readonly done?: boolean
  readonly tokens?: { readonly in: number; readonly out: number }
}

/** A whole answer: { "text": "...", "done": true, "tokens": { "in": 1, "out": 2 } }. */
export function decode(body: unknown): readonly StreamEvent[] {
  if (!isAnswer(body) || typeof body.text !== 'string')
    throw gatewayError('provider_error', 'Upstream provider returned error: the answer makes no sense')
  return [{ type: 'start' }, ...eventsOf({ ...body, done: true })]
}

/** A streamed one: records with a piece of the text each, and a last one that is done. */
export function decoder(): Decoder {
  let started = false
  return {
    push({ data }) {
      const answer = parse(data)
      // Must be total: a record of tomorrow is no error.
      if (!isAnswer(answer)) return []
      const events = eventsOf(answer)
      if (started || events.length === 0) return events
      started = true
      return [{ type: 'start' }, ...events]
    },
    end: () => [],
  }
}

function eventsOf({ text, done, tokens }: Answer): StreamEvent[] {
  return [
    ...(typeof text === 'string' && text !== '' ? [{ type: 'text', text } as const] : []),
    ...(tokens ? [{ type: 'usage', usage: usageOf(tokens) } as const] : []),
    ...(done === true ? [{ type: 'finish', reason: 'stop' } as const] : []),
  ]
}

function usageOf(tokens: NonNullable<Answer['tokens']>): Usage {
  return { inputTokens: tokens.in, outputTokens: tokens.out }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}

function isAnswer(value: unknown): value is Answer {
  if (typeof value !== 'object' || value === null) return false
  const { tokens } = value as Answer
  return tokens === undefined || (typeof tokens?.in === 'number' && typeof tokens.out === 'number')
}
`,
    'errors.ts': `import { upstreamError } from '@hadrian/core/provider'
import type { GatewayError } from '@hadrian/core/provider'

/** An answer with an error status. Say \`otherModelMayServe\` for a prompt that is too long or refused. */
export function decodeError(
  provider: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): GatewayError {
  const { error, code } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  return upstreamError(provider, {
    status,
    message: typeof error === 'string' ? error : \`status \${status}\`,
    ...(typeof code === 'string' && { code, otherModelMayServe: code === 'too_long' }),
    headers,
  })
}
`,
    'index.test.ts': `import assert from 'node:assert/strict'
import { it } from 'node:test'
import { providerSuite } from '@hadrian/core/testing'
import { encode } from './encode.ts'
import ${variable} from './index.ts'

const answer = { text: 'Hello there', done: true, tokens: { in: 3, out: 2 } }

// What every provider must stand: streams split at every byte, cuts, strange records, errors that leak nothing.
providerSuite(${variable}, {
  options: { api_key: 'a-secret-key', base_url: 'https://api.example.com/v1' },
  // Put recorded answers of the upstream here.
  answers: [
    {
      name: 'a greeting',
      dialect: '${name}',
      status: 200,
      body: answer,
      records: [
        { data: '{"text":"Hello"}' },
        { data: '{"text":" there"}' },
        { data: '{"done":true,"tokens":{"in":3,"out":2}}' },
      ],
    },
    { name: 'a bad key', dialect: '${name}', status: 401, body: { error: 'bad key', code: 'bad_key' } },
    { name: 'too many requests', dialect: '${name}', status: 429, headers: { 'retry-after': '2' }, body: {} },
  ],
})

it('says what it cannot send', () => {
  const { wire, warnings } = encode(
    {
      operation: 'generate',
      dialect: 'chat',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
      tools: [{ type: 'function', name: 'look' }],
      stream: false,
      extra: {},
    },
    { provider: '${name}', model: 'small', name: '${name}/small', requested: '${name}/small' },
  )
  assert.deepEqual(wire.body, { model: 'small', turns: [{ speaker: 'user', text: 'Hi' }], stream: false })
  assert.deepEqual(
    warnings.map(({ param }) => param),
    ['tools'],
  )
})
`,
    'README.md': `# ${name}

## What it does

Serves the models of ${name} to every client of the gateway.

## Options

| Option     | Meaning                                                | Default  |
| ---------- | ------------------------------------------------------ | -------- |
| \`api_key\`  | Key of the upstream.                                   | required |
| \`base_url\` | Where the API is, such as https://api.example.com/v1. | required |

## Dialects

None natively: every request is translated.

## Errors

Those of the upstream, as \`provider_error\`.

## Example

\`\`\`toml
[providers.${name}]
api_key = "\${${name.replaceAll('-', '_').toUpperCase()}_API_KEY}"
base_url = "https://api.example.com/v1"
\`\`\`
`,
  }
}
