import type { ClientDialect } from './dialect.ts'
import { encodeResponsesAnswer } from './responses-answer.ts'
import { decodeResponsesRequest } from './responses-request.ts'
import { ResponsesWriter } from './responses-stream.ts'
import { encodeResponsesUsage } from './responses-usage.ts'
import { VerbatimResponsesWriter } from './responses-verbatim.ts'
import { RewritingWriter } from './verbatim-stream.ts'

/** The Responses API, as OpenAI's clients and the public Open Responses schema have it. */
export const responses: ClientDialect = {
  name: 'responses',
  operation: 'generate',
  decode: decodeResponsesRequest,
  encode: encodeResponsesAnswer,
  writer: (context) => new ResponsesWriter(context),
  verbatimWriter: (context) =>
    context.request.reasoning?.exclude
      ? new RewritingWriter(new ResponsesWriter(context))
      : new VerbatimResponsesWriter(context),
  encodeUsage: encodeResponsesUsage,
}
