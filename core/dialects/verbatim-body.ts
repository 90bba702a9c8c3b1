/** Byte passthrough of answers: the upstream's own body sent back with nothing changed but what the gateway adds. */

import type { JsonObject, Usage } from '../contract/canonical.ts'
import type { ReplyEnd } from './dialect.ts'
import { replaceObject } from './json-bytes.ts'

/** The upstream's own bytes, with the gateway's fields in its usage. */
export function verbatimBody(
  bytes: Buffer,
  value: JsonObject,
  end: ReplyEnd,
  encodeUsage: (usage: Usage) => JsonObject,
): Uint8Array {
  const given = value['usage'] as JsonObject | null | undefined
  const usage = end.usage && (given ? { ...given, ...costOf(encodeUsage(end.usage)) } : encodeUsage(end.usage))
  if (!end.metadata && (!usage || (given && Object.keys(usage).length === Object.keys(given).length))) return bytes
  const spliced = end.metadata || !usage || !given ? undefined : replaceObject(bytes, 'usage', given, usage)
  return (
    spliced ??
    Buffer.from(
      JSON.stringify({ ...value, ...(usage && { usage }), ...(end.metadata && { hadrian_metadata: end.metadata }) }),
    )
  )
}

/** The fields of a usage object that are the gateway's to say. */
function costOf(usage: JsonObject): JsonObject {
  const fields = ['cost', 'cost_details', 'is_byok'].filter((name) => usage[name] !== undefined)
  return Object.fromEntries(fields.map((name) => [name, usage[name]]))
}
