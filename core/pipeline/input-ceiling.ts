import type { GenerateRequest, MediaPart, Message, Part, Tool } from '../contract/canonical.ts'

/** What a chat template may put around the whole: a preamble of its own (gpt-oss: about 70 tokens), the start of the answer. */
const requestTokens = 128
/** What stands around one message: 3 to 7 tokens in the templates of OpenAI, Llama and Qwen; and a mark before each text. */
const messageTokens = 16
/** The instructions that come with tools: at most 530 tokens by Anthropic's list, for Claude 3 Opus. */
const toolingTokens = 1024
/** What stands around one tool, besides its JSON: about a dozen tokens in OpenAI's count of functions. */
const toolTokens = 32
/** OpenAI's guide on images: gpt-4o-mini counts 2,833 tokens, and 5,667 for each of the at most 8 tiles it scales one to. */
const imageTokens = 2_833 + 8 * 5_667
/** Gemini counts the most, 32 tokens a second, and speech coded as low as 4 kbit/s has 512 bytes a second. */
const audioBytesPerToken = 16
/** A file that only the provider has: the largest window of a model that took files, Gemini 1.5 Pro. */
const unseenTokens = 2_097_152

/**
 * Input tokens of a request that no tokenizer exceeds. One token for each byte of text: byte-level tokenizers join bytes
 * and never split one, and those with a vocabulary of words fall back to bytes. Images cost what the dearest model
 * counts for one; audio, video and files what their size allows, a file also one image for its first pages.
 *
 * What a provider adds on its own is not in it: results of its own web search, or a conversation that it stores.
 */
export function inputTokensCeiling(request: GenerateRequest): number {
  let tokens = requestTokens
  for (const message of request.messages) tokens += ofMessage(message)
  if (request.tools && request.tools.length > 0) {
    tokens += toolingTokens
    for (const tool of request.tools) tokens += ofTool(tool)
  }
  // Where a model has no native form for it, a schema is sent as a tool or as instructions.
  if (request.responseFormat && request.responseFormat.type !== 'text')
    tokens += toolingTokens + ofJson(request.responseFormat)
  if (typeof request.toolChoice === 'object') tokens += ofJson(request.toolChoice)
  return tokens + ofJson(request.extra)
}

function ofMessage({ name, content, extra }: Message): number {
  return messageTokens + ofText(name) + ofParts(content) + (extra ? ofJson(extra) : 0)
}

function ofParts(parts: readonly Part[]): number {
  let tokens = 0
  for (const part of parts) tokens += ofPart(part) + (part.extra ? ofJson(part.extra) : 0)
  return tokens
}

function ofPart(part: Part): number {
  switch (part.type) {
    case 'text':
      return ofText(part.text)
    case 'reasoning':
      return ofText(part.text) + ofText(part.summary) + ofText(part.signature) + ofText(part.encrypted)
    case 'media':
      return ofText(part.filename) + ofMedia(part)
    case 'tool_call':
      return messageTokens + ofText(part.id) + ofText(part.name) + ofText(part.arguments)
    case 'tool_result':
      return messageTokens + ofText(part.toolCallId) + ofParts(part.content)
    case 'native':
      return ofJson(part.value)
  }
}

function ofMedia({ kind, data }: MediaPart): number {
  if (kind === 'image') return imageTokens
  if (data === undefined) return unseenTokens
  // Base64 as a rule, but a client may have put plain text there.
  if (kind === 'audio') return messageTokens + Math.ceil(data.length / audioBytesPerToken)
  return ofText(data) + (kind === 'file' ? imageTokens : 0)
}

function ofTool(tool: Tool): number {
  return toolTokens + ofJson(tool)
}

function ofText(text: string | undefined): number {
  return text === undefined ? 0 : Buffer.byteLength(text)
}

/** JSON has more bytes than what it says: of every string, and of every number of a list of tokens. */
function ofJson(value: object): number {
  for (const _ in value) return Buffer.byteLength(JSON.stringify(value))
  return 0
}
