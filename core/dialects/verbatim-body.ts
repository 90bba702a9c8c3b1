/** Byte passthrough of answers: the upstream's own body sent back with nothing changed but what the gateway adds. */

import type { JsonObject, Usage } from '../contract/canonical.ts'
import type { ReplyEnd } from './dialect.ts'
import { costFields } from './chat-usage.ts'
import { replaceObject } from './json-bytes.ts'

/** The upstream's own bytes, with the gateway's fields in its usage. */
export function verbatimBody(
  bytes: Buffer,
  value: JsonObject,
  end: ReplyEnd,
  encodeUsage: (usage: Usage) => JsonObject,
): Uint8Array {
  const given = value['usage'] as JsonObject | null | undefined
  const isPriced = end.usage !== undefined && (end.usage.costMicros ?? end.usage.reportedCostMicros) !== undefined
  if (!end.metadata && (!end.usage || (given && !isPriced))) return bytes
  const usage = end.usage && (given ? { ...given, ...costFields(end.usage, given) } : encodeUsage(end.usage))
  const spliced = end.metadata || !usage || !given ? undefined : replaceObject(bytes, 'usage', given, usage)
  return (
    spliced ??
    Buffer.from(
      JSON.stringify({ ...value, ...(usage && { usage }), ...(end.metadata && { hadrian_metadata: end.metadata }) }),
    )
  )
}
