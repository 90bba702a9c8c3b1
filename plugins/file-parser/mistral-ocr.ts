import { gatewayError } from '@hadrian/core/plugin'
import type { SafeFetch } from '@hadrian/core/plugin'
import type { DocumentContent, DocumentPiece } from './document.ts'
import { mostImages } from './document.ts'

/** What an {@link createOcr | OCR} works with. */
export interface OcrOptions {
  readonly fetch: SafeFetch
  readonly apiKey: string
  /** Without `/v1/ocr`. */
  readonly baseUrl: string
  readonly model: string
  readonly timeoutMs: number
}

/** What OCR made of a PDF. */
export interface OcrResult {
  readonly content: DocumentContent
  /** What the service counted, and bills. */
  readonly pages: number
}

/** Sends a PDF to OCR. `images`: ask for its pictures too. */
export type Ocr = (
  pdf: Uint8Array,
  call: { readonly pages: number; readonly images: boolean; readonly signal: AbortSignal },
) => Promise<OcrResult>

/** Text and pictures of a document of the largest size. */
const answerLimitBytes = 64 * 1024 * 1024

interface OcrPage {
  readonly markdown?: unknown
  readonly images?: readonly { readonly image_base64?: unknown }[] | null
}

interface OcrAnswer {
  readonly pages?: readonly OcrPage[]
  readonly usage_info?: { readonly pages_processed?: unknown }
}

/**
 * The OCR API of Mistral, https://docs.mistral.ai/api/endpoint/ocr, or one that speaks like it.
 *
 * Its calls throw a `GatewayError`: 400 for a PDF that the service refuses, 502, 503 or 504 where the service fails.
 */
export function createOcr({ fetch, apiKey, baseUrl, model, timeoutMs }: OcrOptions): Ocr {
  const url = `${baseUrl.replace(/\/+$/, '')}/v1/ocr`
  return async (pdf, { pages, images, signal }) => {
    const data = Buffer.from(pdf.buffer, pdf.byteOffset, pdf.byteLength).toString('base64')
    const { status, headers, body } = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${apiKey}` },
      body: JSON.stringify({
        model,
        document: { type: 'document_url', document_url: `data:application/pdf;base64,${data}` },
        include_image_base64: images,
        ...(images && { image_limit: mostImages }),
      }),
      trusted: true,
      timeoutMs,
      limitBytes: answerLimitBytes,
      maxRedirects: 0,
      signal,
    })
    if (status !== 200) throw refused(status, headers)
    const answer = parsed(body)
    const processed = answer.usage_info?.pages_processed
    return {
      content: contentOf(answer.pages!, images),
      pages: typeof processed === 'number' && processed >= 0 ? processed : pages,
    }
  }
}

function parsed(body: Uint8Array): OcrAnswer {
  try {
    const answer = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')) as OcrAnswer
    if (Array.isArray(answer.pages)) return answer
  } catch {
    // Told below.
  }
  throw gatewayError('provider_error', 'The OCR service gave an answer that makes no sense', {
    details: { service: 'mistral-ocr', upstream_status: 200 },
  })
}

/** The markdown of each page, followed by the page's pictures. */
function contentOf(pages: readonly OcrPage[], images: boolean): DocumentContent {
  const content: DocumentPiece[] = []
  let text = ''
  let left = images ? mostImages : 0
  for (const [index, page] of pages.entries()) {
    text += `${index > 0 ? '\n\n' : ''}${typeof page.markdown === 'string' ? page.markdown : ''}`
    for (const { image_base64: data } of page.images ?? []) {
      if (left === 0 || typeof data !== 'string' || data === '') continue
      left--
      if (text !== '') content.push({ type: 'text', text })
      text = ''
      const url = data.startsWith('data:') ? data : `data:image/jpeg;base64,${data}`
      content.push({ type: 'image_url', image_url: { url } })
    }
  }
  if (text !== '' || content.length === 0) content.push({ type: 'text', text })
  return content
}

function refused(status: number, headers: Readonly<Record<string, string>>): Error {
  const details = { service: 'mistral-ocr', upstream_status: status }
  if (status === 400 || status === 422)
    return gatewayError('invalid_request_error', 'The OCR service cannot read the file', { details })
  const seconds = Number(headers['retry-after'])
  if (status !== 429) return gatewayError('provider_error', 'The OCR service failed', { details })
  const wait = Number.isFinite(seconds) && seconds > 0 ? Math.ceil(seconds) : 1
  return gatewayError('provider_unavailable', 'The OCR service takes no more requests at the moment', {
    details: { ...details, retry_after_secs: wait },
    headers: { 'Retry-After': String(wait) },
  })
}
