import type { GenerateRequest, JsonObject } from '@hadrian/core/provider'
import type { Losses } from './losses.ts'
import type { Quirks } from './quirks.ts'

/** Hints, or fields that the gateway serves itself: leaving them out is no loss. */
const ownFields = ['include_reasoning', 'cache_control', 'route', 'transforms', 'session_id', 'usage'] as const

/** Fields without a canonical name beyond OpenAI's API, which go out only where the upstream takes them. */
export const extensionFields: readonly string[] = ['top_a', 'repetition_penalty', ...ownFields]

/**
 * Fields of one API that ask for nothing the other could do or leave undone: the gateway answers in the client's own
 * form.
 */
const harmless: ReadonlySet<string> = new Set(['include', 'background', 'stream_options', ...ownFields])

function isHarmless(name: string, value: unknown): boolean {
  if (value === null || harmless.has(name)) return true
  if (name === 'truncation') return value === 'disabled'
  return name === 'text' && Object.keys(value as JsonObject).length === 0
}

/**
 * The client's fields without a canonical name that go out; of the others each that asks for something is a loss.
 * `isKnown` says whether the wire has a field that is no extension.
 */
export function encodeExtra(
  { dialect, extra, maxOutputTokens }: GenerateRequest,
  { extensions }: Pick<Quirks, 'extensions'>,
  losses: Losses,
  isKnown: (name: string) => boolean,
): JsonObject {
  const kept = Object.entries(extra).filter(([name, value]) => {
    // Upstreams refuse both limits at once, and the first one has won.
    if (name === 'max_tokens' && dialect !== 'responses' && maxOutputTokens !== undefined) return false
    if (extensionFields.includes(name) ? extensions.has(name) : isKnown(name)) return true
    if (!isHarmless(name, value)) losses.parameter(name)
    return false
  })
  return Object.fromEntries(kept)
}
