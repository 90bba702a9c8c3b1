import type { GenerateRequest } from '@hadrian/core/provider'
import { Losses } from './losses.ts'
import { encodeItems } from './responses-items.ts'

/**
 * True where the input of a Responses client can go upstream as it is: it holds no thinking that this upstream would
 * refuse, because another provider signed it or because it is a mere reference to something stored.
 */
export function responsesPass({ messages }: GenerateRequest): boolean {
  const thinking = messages.filter(({ content }) =>
    content.some((part) => part.type === 'reasoning' || (part.type === 'native' && part.value['type'] === 'reasoning')),
  )
  const losses = new Losses()
  if (thinking.length > 0) encodeItems(thinking, true, losses)
  return losses.warnings.length === 0
}
