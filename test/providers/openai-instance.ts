import { readdirSync, readFileSync } from 'node:fs'
import type { GenerateRequest, JsonObject, OptionsOf, Target } from '../../core/contract/provider.ts'
import openai from '../../providers/openai/index.ts'
import type { options } from '../../providers/openai/options.ts'

type Settings = OptionsOf<typeof options>

/** An instance of the provider with these options, the defaults of the schema filled in. */
export async function instanceOf(settings: Partial<Settings> = {}, instance = 'up') {
  const schema = openai.options['properties'] as Readonly<Record<string, { readonly default?: unknown }>>
  const defaults = Object.entries(schema).flatMap(([name, { default: value }]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  const filled = { ...Object.fromEntries(defaults), ...settings } as never
  const silent = () => {}
  const logger = { debug: silent, info: silent, warn: silent, error: silent }
  const clock = { now: () => 0, monotonicMs: () => 0, after: () => silent }
  return openai.setup({
    instance,
    options: filled,
    logger,
    clock,
    fetch: () => Promise.reject(new Error('no network')),
  })
}

/** An upstream that takes everything a chat client may send. */
export const permissive: Partial<Settings> = {
  base_url: 'http://127.0.0.1:9/v1',
  extensions: [
    'top_k',
    'min_p',
    'top_a',
    'repetition_penalty',
    'reasoning',
    'include_reasoning',
    'cache_control',
    'transforms',
  ],
  max_tokens_field: 'either',
  developer_role: true,
  reasoning_history: 'as_sent',
}

export function targetOf(model = 'gpt-4o', info?: Target['info']): Target {
  return { provider: 'up', model, name: `up/${model}`, requested: model, ...(info && { info }) }
}

const fixtures = new URL('../fixtures/', import.meta.url)

/** Every request of the corpus of a dialect: file name and body. */
export function corpus(dialect: string): readonly (readonly [name: string, body: JsonObject])[] {
  const folder = new URL(`requests/${dialect}/`, fixtures)
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  return names.map((name) => [name, JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as JsonObject])
}

/** The answer of a recorded exchange. */
export interface Recorded {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: any
  readonly chunks?: readonly any[]
}

export function recorded(name: string): Recorded {
  const text = readFileSync(new URL(`exchanges/${name}.json`, fixtures), 'utf8')
  return (JSON.parse(text) as { response: Recorded }).response
}

/** The value without the fields that are null, which a request has as good as absent. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((entry) => (entry === null ? null : withoutNulls(entry)))
  if (typeof value !== 'object' || value === null) return value
  const present = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(present.map(([name, field]) => [name, withoutNulls(field)]))
}

/** A request of a client of another dialect. */
export function foreignRequest(fields: Partial<GenerateRequest>): GenerateRequest {
  return { operation: 'generate', dialect: 'responses', messages: [], stream: false, extra: {}, ...fields }
}
