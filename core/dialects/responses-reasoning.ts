import type { JsonObject, ReasoningPart } from '../contract/canonical.ts'
import { isObject } from './chat-fields.ts'
import { Fields } from './responses-fields.ts'

/** The format whose encrypted blocks are what OpenAI itself puts into `encrypted_content`. */
export const openaiReasoningFormat = 'openai-responses-v1'

/**
 * Marks an `encrypted_content` written by the gateway. The rest is base64url of {@link Seal} in JSON. A change of its
 * shape needs a new version here, and the old one must stay readable, since clients keep conversations for long.
 */
const sealPrefix = 'hadrian.reasoning.v1.'

/**
 * What a Responses client carries for a provider whose thinking is not in OpenAI's form: which entry of `summary` is
 * which part, and the signatures that prove it. The text itself stands in `summary` only.
 */
interface Seal {
  readonly format?: string
  readonly parts: readonly SealedPart[]
}

interface SealedPart {
  readonly id?: string
  /** The next entry of `summary` is the part's text, or its summary; without it the part has neither. */
  readonly shows?: 'text' | 'summary'
  readonly signature?: string
  readonly encrypted?: string
}

/**
 * Packs what the provider needs to recognise its thinking. Undefined where `summary` says everything: the parts have
 * nothing but summaries.
 */
export function sealReasoning(parts: readonly ReasoningPart[]): string | undefined {
  if (parts.every(isMereSummary)) return undefined
  const format = parts.find((part) => part.format !== undefined)?.format
  const seal: Seal = {
    ...(format !== undefined && { format }),
    parts: parts.map(({ id, text, summary, signature, encrypted }) => ({
      ...(id !== undefined && { id }),
      ...(text ? { shows: 'text' as const } : summary ? { shows: 'summary' as const } : {}),
      ...(signature !== undefined && { signature }),
      ...(encrypted !== undefined && { encrypted }),
    })),
  }
  return sealPrefix + Buffer.from(JSON.stringify(seal)).toString('base64url')
}

function isMereSummary(part: ReasoningPart): boolean {
  return !part.text && part.signature === undefined && part.encrypted === undefined
}

/** Reads a reasoning item: its parts, and the fields without a canonical name. No parts if it says nothing at all. */
export function decodeReasoningItem(item: JsonObject): { parts: ReasoningPart[]; extra?: JsonObject } {
  const fields = new Fields(item)
  fields.drop('type')
  const summaries = texts(item['summary'], 'summary_text')
  const contents = texts(item['content'], 'reasoning_text')
  if (!summaries || !contents) return { parts: [] }
  const sealed = typeof item['encrypted_content'] === 'string' ? openSeal(item['encrypted_content']) : undefined
  if (sealed) return { parts: unsealed(sealed, summaries) }
  fields.drop('summary')
  if (contents.length > 0) fields.drop('content')
  const id = fields.string('id')
  const encrypted = fields.string('encrypted_content')
  const parts: ReasoningPart[] = [
    ...summaries.map((summary) => ({ summary })),
    ...contents.map((text) => ({ text })),
  ].map((shown) => ({ type: 'reasoning', ...shown, ...(id !== undefined && { id }), format: openaiReasoningFormat }))
  if (encrypted !== undefined) {
    const last = parts.pop() ?? { type: 'reasoning', ...(id !== undefined && { id }), format: openaiReasoningFormat }
    parts.push({ ...last, encrypted })
  }
  return { parts, ...fields.extra() }
}

/** The texts of a list of parts that are all of one type; undefined for anything else, so that the item stays native. */
function texts(list: unknown, type: string): string[] | undefined {
  if (list === undefined || list === null) return []
  if (!Array.isArray(list)) return undefined
  const found: string[] = []
  for (const part of list as unknown[]) {
    if (!isObject(part) || part['type'] !== type || typeof part['text'] !== 'string') return undefined
    if (Object.keys(part).length > 2) return undefined
    found.push(part['text'])
  }
  return found
}

function unsealed(seal: Seal, summaries: readonly string[]): ReasoningPart[] {
  let next = 0
  return seal.parts
    .map(({ id, shows, signature, encrypted }): ReasoningPart => {
      const shown = shows === undefined ? undefined : summaries[next++]
      return {
        type: 'reasoning',
        ...(shown !== undefined && shows !== undefined && { [shows]: shown }),
        ...(signature !== undefined && { signature }),
        ...(encrypted !== undefined && { encrypted }),
        ...(id !== undefined && { id }),
        ...(seal.format !== undefined && { format: seal.format }),
      }
    })
    .filter((part) => part.text !== undefined || !isMereSummary(part) || part.summary !== undefined)
}

/** A client may have changed or forged the text, so that everything in it is checked. */
function openSeal(encrypted: string): Seal | undefined {
  if (!encrypted.startsWith(sealPrefix)) return undefined
  let seal: unknown
  try {
    seal = JSON.parse(Buffer.from(encrypted.slice(sealPrefix.length), 'base64url').toString())
  } catch {
    return undefined
  }
  if (!isObject(seal) || !Array.isArray(seal['parts'])) return undefined
  const parts: SealedPart[] = []
  for (const part of seal['parts'] as unknown[]) {
    if (!isObject(part)) return undefined
    const fields = new Fields(part)
    const shows = fields.string('shows')
    const id = fields.string('id')
    const signature = fields.string('signature')
    const encryptedPart = fields.string('encrypted')
    parts.push({
      ...(id !== undefined && { id }),
      ...((shows === 'text' || shows === 'summary') && { shows }),
      ...(signature !== undefined && { signature }),
      ...(encryptedPart !== undefined && { encrypted: encryptedPart }),
    })
  }
  return { ...(typeof seal['format'] === 'string' && { format: seal['format'] }), parts }
}
