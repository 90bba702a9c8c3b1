import { encodeChatAnswer } from './chat-answer.ts'
import { decodeChatRequest } from './chat-request.ts'
import { ChatStreamWriter } from './chat-stream.ts'
import { encodeChatUsage } from './chat-usage.ts'
import type { ClientDialect } from './dialect.ts'
import { RewritingWriter, VerbatimChunkWriter } from './verbatim-stream.ts'

/** The client dialect of `POST /chat/completions`. */
export const chat: ClientDialect = {
  name: 'chat',
  operation: 'generate',
  decode: decodeChatRequest,
  encode: encodeChatAnswer,
  writer: (context) => new ChatStreamWriter(context),
  verbatimWriter: (context) =>
    context.request.reasoning?.exclude
      ? new RewritingWriter(new ChatStreamWriter(context))
      : new VerbatimChunkWriter(context, 'chat.completion.chunk'),
  encodeUsage: encodeChatUsage,
}
