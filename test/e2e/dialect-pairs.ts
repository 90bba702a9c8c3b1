/** Every pair of a client dialect and an upstream, for tests that hold for all of them. */

import { chatBody, chatRecords, messageBody, messageRecords, responseBody, responseRecords } from './wire-answers.ts'

/** What every upstream says unless it is told otherwise. */
export const text = 'Grüße, 世界 🌍!'
export const paths = { chat: '/v1/chat/completions', responses: '/v1/responses' } as const
export const bodies = {
  chat: { messages: [{ role: 'user', content: 'Hello' }] },
  responses: { input: 'Hello' },
} as const
export type ClientDialect = keyof typeof paths

/** Each kind of upstream: the model to ask for, and its wire format. */
export const kinds = [
  { model: 'native/m', wire: { chat: 'chat', responses: 'responses' } },
  { model: 'chat-only/m', wire: { chat: 'chat', responses: 'chat' } },
  { model: 'responses-only/m', wire: { chat: 'responses', responses: 'responses' } },
  { model: 'anthropic/claude-sonnet-4-5', wire: { chat: 'messages', responses: 'messages' } },
] as const
export const wires = { chat: chatRecords, responses: responseRecords, messages: messageRecords }
export const wholes = { chat: chatBody, responses: responseBody, messages: messageBody }

/** Every pair of a client dialect and an upstream. */
export const pairs = (['chat', 'responses'] as const).flatMap((dialect) =>
  kinds.map(({ model, wire }) => ({ dialect, model, wire: wire[dialect], name: `${dialect} on ${model}` })),
)

/** Records up to the one with the first word in it. */
export function firstRecords(records: readonly string[]): string[] {
  return records.slice(0, records.findIndex((each) => each.includes('Grüße')) + 1)
}
