import { upstreamError } from '@hadrian/core/provider'
import type { Decoder, GatewayError, JsonObject, ServerSentEvent, StreamEvent } from '@hadrian/core/provider'
import { parseRecord } from './decode.ts'
import { isObject } from './json.ts'
import { ResponseItems } from './responses-output.ts'
import { decodeResponsesUsage } from './responses-usage.ts'

/** Codes of OpenAI's own that stand for a status, in an answer whose HTTP status was 200. */
const statusOfCode: Readonly<Record<string, number>> = {
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  invalid_prompt: 400,
  invalid_request_error: 400,
  context_length_exceeded: 400,
  content_policy_violation: 400,
}

/** Refusals that another model may not share. */
const otherModelMayServe: ReadonlySet<string> = new Set(['context_length_exceeded', 'content_policy_violation'])

const endings: ReadonlySet<unknown> = new Set(['completed', 'incomplete'])

/**
 * Reads a whole response. `provider` is the name of the instance, for errors. Throws where the answer failed or is no
 * answer.
 */
export function decodeResponses(body: unknown, provider = 'openai'): readonly StreamEvent[] {
  if (!isObject(body) || !Array.isArray(body['output'])) {
    throw upstreamError(provider, { status: 502, message: 'the answer is no response object' })
  }
  const status = body['status'] ?? 'completed'
  if (!endings.has(status)) throw failure(provider, body['error'], `the response is ${JSON.stringify(status)}`)
  const items = new ResponseItems()
  return [startOf(body), ...endingOf(items, body)]
}

/** Reads a streamed response: the same events as {@link decodeResponses}, in smaller pieces. */
export function responsesDecoder(provider = 'openai'): Decoder {
  const items = new ResponseItems()
  let hasStarted = false
  const start = (record: JsonObject): StreamEvent[] => {
    if (hasStarted || !isObject(record['response'])) return []
    hasStarted = true
    return [startOf(record['response'])]
  }
  return {
    push(message: ServerSentEvent): readonly StreamEvent[] {
      const record = parseRecord(message.data)
      if (!record) return []
      const { type = message.event } = record
      switch (type) {
        case 'response.created':
        case 'response.queued':
        case 'response.in_progress':
          return start(record)
        case 'response.completed':
        case 'response.incomplete':
          return isObject(record['response']) ? [...start(record), ...endingOf(items, record['response'])] : []
        case 'response.failed':
        case 'response.cancelled': {
          const response = isObject(record['response']) ? record['response'] : {}
          return [{ type: 'error', error: failure(provider, response['error'], `the response ended as ${type}`) }]
        }
        case 'error':
          return [{ type: 'error', error: failure(provider, record['error'] ?? record, 'the stream failed') }]
        default:
          return items.push(type, record)
      }
    },
    end: () => [],
  }
}

function startOf(response: JsonObject): StreamEvent {
  const { id, model, created_at: created } = response
  return {
    type: 'start',
    ...(typeof id === 'string' && { id }),
    ...(typeof model === 'string' && { model }),
    ...(typeof created === 'number' && { created: Math.floor(created) }),
  }
}

/** What the final response object has beyond the records before it, then usage and finish. */
function endingOf(items: ResponseItems, response: JsonObject): StreamEvent[] {
  const output = Array.isArray(response['output']) ? (response['output'] as unknown[]) : []
  const rest = output.flatMap((item, index) => (isObject(item) ? items.complete(index, item) : []))
  const usage = response['usage']
  return [
    ...rest,
    ...(isObject(usage) ? [{ type: 'usage' as const, usage: decodeResponsesUsage(usage) }] : []),
    finishOf(response, items.hasCalls),
  ]
}

function finishOf(response: JsonObject, hasCalls: boolean): StreamEvent {
  const details = response['incomplete_details']
  if (response['status'] === 'incomplete') {
    const raw = isObject(details) ? String(details['reason']) : 'incomplete'
    return { type: 'finish', reason: raw === 'content_filter' ? 'content_filter' : 'length', raw }
  }
  return { type: 'finish', reason: hasCalls ? 'tool_calls' : 'stop', raw: 'completed' }
}

function failure(provider: string, error: unknown, fallback: string): GatewayError {
  const { code: ownCode, type, message } = isObject(error) ? error : {}
  const code = typeof ownCode === 'string' ? ownCode : typeof type === 'string' && type !== 'error' ? type : undefined
  return upstreamError(provider, {
    status: (code !== undefined && statusOfCode[code]) || 502,
    ...(code !== undefined && { code, otherModelMayServe: otherModelMayServe.has(code) }),
    message: typeof message === 'string' ? message : fallback,
  })
}
