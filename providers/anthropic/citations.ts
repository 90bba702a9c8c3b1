import type { JsonObject, NativePart } from '@hadrian/core/provider'

/**
 * Name for the citations that Chat Completions has no word for. Not the name of the Messages dialect: citations are no
 * blocks, so they must never be sent back as one.
 */
const citationDialect = 'anthropic-citation'

/**
 * The citations of a text block. Those of a web page become a `url_citation` of Chat Completions, which spans the block;
 * `start` and `end` are its place in the text of the answer, in characters.
 */
export function citationParts(citations: readonly JsonObject[], start: number, end: number): readonly NativePart[] {
  return citations.map((citation) => {
    if (typeof citation['url'] !== 'string') return { type: 'native', dialect: citationDialect, value: citation }
    const { url, title, cited_text: content } = citation
    return {
      type: 'native',
      dialect: 'chat',
      value: {
        type: 'url_citation',
        url_citation: {
          url,
          title: typeof title === 'string' ? title : '',
          ...(typeof content === 'string' && { content }),
          start_index: start,
          end_index: end,
        },
      },
    }
  })
}
