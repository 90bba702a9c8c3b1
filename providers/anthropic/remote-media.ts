import { gatewayError } from '@hadrian/core/provider'
import type { GenerateRequest, MediaPart, Message, Part, SafeFetch } from '@hadrian/core/provider'

/** The largest image or document the Messages API takes in one request, 32 MB, less what base64 adds to it. */
const limitBytes = 24 * 1024 * 1024

/**
 * Fetches what the Messages API will not fetch itself: images and documents under plain `http` URLs. A request without any
 * comes back as it is.
 *
 * @throws GatewayError `invalid_request_error` if one cannot be fetched; nothing is dropped
 */
export async function withRemoteMedia(
  request: GenerateRequest,
  fetch: SafeFetch,
  signal: AbortSignal,
): Promise<GenerateRequest> {
  if (!request.messages.some(({ content }) => content.some(needsFetch))) return request
  const messages = await Promise.all(
    request.messages.map(async (message): Promise<Message> =>
      message.content.some(needsFetch)
        ? { ...message, content: await Promise.all(message.content.map((part) => inlined(part, fetch, signal))) }
        : message,
    ),
  )
  return { ...request, messages }
}

function needsFetch(part: Part): boolean {
  if (part.type === 'tool_result') return part.content.some(needsFetch)
  return isRemote(part)
}

function isRemote(part: Part): part is MediaPart & { readonly url: string } {
  const fetchable = part.type === 'media' && (part.kind === 'image' || part.kind === 'file')
  return fetchable && part.url !== undefined && /^http:/i.test(part.url)
}

async function inlined(part: Part, fetch: SafeFetch, signal: AbortSignal): Promise<Part> {
  if (part.type === 'tool_result')
    return { ...part, content: await Promise.all(part.content.map((inner) => inlined(inner, fetch, signal))) }
  if (!isRemote(part)) return part
  const { url, ...rest } = part
  const { status, headers, body } = await fetch(url, { limitBytes, signal })
  if (status !== 200)
    throw gatewayError(
      'invalid_request_error',
      `A ${part.kind} of the request could not be fetched: status ${status}`,
      {
        param: 'messages',
      },
    )
  const mediaType = headers['content-type']?.split(';')[0]?.trim()
  return {
    ...rest,
    data: Buffer.from(body).toString('base64'),
    ...(mediaType !== undefined && { mediaType }),
  }
}
