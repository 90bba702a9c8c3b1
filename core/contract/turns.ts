import type { Message, Part } from './canonical.ts'

/**
 * Joins consecutive messages of the same side into turns, as wires want them that have one message per turn: assistant
 * messages into one, tool results into one `tool` message. Messages of other roles stay as they are. Used by encoders
 * whose wire is not the client's dialect.
 */
export function turns(messages: readonly Message[]): readonly Message[] {
  const joined: Message[] = []
  /** The content of the last turn, once it is a list of our own: copying it for each message would be quadratic. */
  let content: Part[] | undefined
  for (const message of messages) {
    const last = joined.at(-1)
    const joins = last?.role === message.role && (message.role === 'assistant' || message.role === 'tool')
    if (!joins) {
      joined.push(message)
      content = undefined
      continue
    }
    if (!content) {
      content = [...last.content]
      joined[joined.length - 1] = { ...last, content }
    }
    for (const part of message.content) content.push(part)
  }
  return joined
}
