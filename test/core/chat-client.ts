import type { JsonObject } from '../../core/contract/canonical.ts'

type Json = Record<string, any>

/** The data of each record of a stream, as a client sees it; JSON parsed, `[DONE]` as it is. */
export function recordsOf(stream: string): readonly unknown[] {
  return stream
    .split('\n\n')
    .filter((record) => record !== '')
    .map((record) => {
      const data = record
        .split('\n')
        .filter((line) => line.startsWith('data: '))
        .map((line) => line.slice('data: '.length))
        .join('\n')
      return data === '[DONE]' ? data : JSON.parse(data)
    })
}

function addDetail(details: Json[], piece: Json): void {
  const known = details.find((detail) => detail['index'] === piece['index'])
  if (!known) {
    details.push({ ...piece })
    return
  }
  for (const [name, value] of Object.entries(piece)) {
    const isContent = name === 'text' || name === 'summary' || name === 'data'
    known[name] = isContent ? (known[name] ?? '') + value : value
  }
}

function addCall(calls: Json[], piece: Json): void {
  const { index, ...fields } = piece
  const known = calls[index]
  if (!known) {
    calls[index] = structuredClone(fields)
    return
  }
  if (fields['function']) known['function'].arguments += fields['function'].arguments
  if (fields['custom']) known['custom'].input += fields['custom'].input
}

function addDelta(message: Json, delta: Json): void {
  for (const [name, value] of Object.entries(delta)) {
    if (name === 'tool_calls') for (const piece of value) addCall((message[name] ??= []), piece)
    else if (name === 'reasoning_details') for (const piece of value) addDetail((message[name] ??= []), piece)
    else if (Array.isArray(value)) (message[name] ??= []).push(...value)
    else if (typeof value === 'string' && name !== 'role') message[name] = (message[name] ?? '') + value
    else message[name] = value
  }
}

/** Adds the chunks of a chat stream up to the body a non-streamed answer has, as a client does. */
export function accumulate(chunks: readonly unknown[]): JsonObject {
  const choices: Json[] = []
  let body: Json = {}
  for (const chunk of chunks as Json[]) {
    const { choices: pieces, usage, ...head } = chunk
    body = { ...body, ...head, object: 'chat.completion', ...(usage && { usage }) }
    for (const piece of pieces) {
      const choice = (choices[piece.index] ??= { index: piece.index, message: {}, logprobs: null })
      addDelta(choice['message'], piece.delta)
      if (piece.logprobs)
        (choice['logprobs'] ??= { content: [], refusal: null }).content.push(...piece.logprobs.content)
      if (piece.finish_reason) choice['finish_reason'] = piece.finish_reason
      if (piece.native_finish_reason) choice['native_finish_reason'] = piece.native_finish_reason
    }
  }
  return { ...body, choices: choices.filter(Boolean) }
}
