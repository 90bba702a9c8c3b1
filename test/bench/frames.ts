/** The frames of streamed answers, in the two wire formats of the mock upstream. */

/** How one wire format writes a stream. */
export interface StreamFrames {
  readonly first: string
  text(text: string): string
  readonly last: string
}

const chatFields = '"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench"'

/** Chat completion chunks, with a chunk for usage as the last but `[DONE]`. */
export const chatFrames: StreamFrames = {
  first: `data: {${chatFields},"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}\n\n`,
  text: (text) =>
    `data: {${chatFields},"choices":[{"index":0,"delta":{"content":"${text}"},"finish_reason":null}],"usage":null}\n\n`,
  last:
    `data: {${chatFields},"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n` +
    `data: {${chatFields},"choices":[],"usage":{"prompt_tokens":150,"completion_tokens":100,"total_tokens":250}}\n\n` +
    'data: [DONE]\n\n',
}

/** Events of the Messages API. */
export const messagesFrames: StreamFrames = {
  first:
    'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_bench","type":"message","role":"assistant",' +
    '"model":"bench","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":150,"output_tokens":1}}}\n\n' +
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
  text: (text) =>
    'event: content_block_delta\n' +
    `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${text}"}}\n\n`,
  last:
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n' +
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},' +
    '"usage":{"output_tokens":100}}\n\n' +
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}
