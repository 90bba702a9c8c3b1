import { gatewayError } from '@hadrian/core/plugin'
import type { Exchange, GatewayError } from '@hadrian/core/plugin'
import type { CachedDocument, DocumentCache } from './document-cache.ts'
import type { DocumentContent } from './document.ts'
import { charactersOf } from './document.ts'
import { invalidFile } from './file-source.ts'
import type { Ocr } from './mistral-ocr.ts'
import type { Engine, Options } from './options.ts'
import { PdfFailure } from './pdf-reader.ts'
import type { PdfReader } from './pdf-reader.ts'

/** What {@link createPdfEngines} works with. */
export interface PdfEnginesOptions {
  readonly options: Options
  readonly reader: PdfReader
  /** Undefined where the operator has configured none. */
  readonly ocr: Ocr | undefined
  readonly cache: DocumentCache
}

/** One PDF to read. */
export interface PdfCall {
  readonly exchange: Exchange
  readonly engine: Exclude<Engine, 'native'>
  readonly bytes: Uint8Array
  readonly hash: string
  /** JSON path of its part. */
  readonly path: string
  /** Some target takes pictures, so that those of the document are of use. */
  readonly images: boolean
  readonly signal: AbortSignal
}

/** Reads a PDF by one of the engines. Throws a `GatewayError`, or the reason of the signal. */
export type ReadPdf = (call: PdfCall) => Promise<DocumentContent>

/** Makes the function that reads PDFs: from the cache, by the thread, or by OCR, which is bought. */
export function createPdfEngines({ options, reader, ocr, cache }: PdfEnginesOptions): ReadPdf {
  const microsPerPage = options.ocr_price_per_1000_pages_usd * 1000

  const viaReader = async ({ bytes, path, signal }: PdfCall, want: 'text' | 'count') => {
    try {
      return await reader.read(bytes, { want, signal })
    } catch (error) {
      throw error instanceof PdfFailure ? refusal(error, path, options) : error
    }
  }

  const viaOcr = async (call: PdfCall, knownPages?: number): Promise<DocumentContent> => {
    const { exchange, bytes, hash, images, signal } = call
    const key = `mistral-ocr ${images} ${hash}`
    const cached = options.cache_ocr ? cache.get(key) : undefined
    if (cached) return cached.content
    const pages = knownPages ?? (await viaReader(call, 'count')).pages
    signal.throwIfAborted()
    const purchase = { item: 'document_pages', quantity: pages, costMicros: Math.ceil(pages * microsPerPage) }
    const result = await exchange.buy(purchase, async (bill) => {
      const answer = await ocr!(bytes, { pages, images, signal })
      bill(answer.pages * microsPerPage)
      return answer
    })
    if (charactersOf(result.content) > options.max_text_characters)
      throw refusal(new PdfFailure('characters'), call.path, options)
    if (options.cache_ocr) cache.set(key, result)
    return result.content
  }

  const viaText = async (call: PdfCall): Promise<CachedDocument> => {
    const key = `pdf-text ${call.hash}`
    const cached = cache.get(key)
    if (cached) return cached
    const { pages, text } = await viaReader(call, 'text')
    const document: CachedDocument = { pages, content: [{ type: 'text', text }] }
    cache.set(key, document)
    return document
  }

  return async (call) => {
    if (call.engine === 'mistral-ocr') return viaOcr(call)
    const { pages, content } = await viaText(call)
    if (charactersOf(content) > 0) return content
    if (ocr && options.ocr_scanned_pdfs) return viaOcr(call, pages)
    call.exchange.warn({
      code: 'file_without_text',
      message: 'A PDF has no text that could be read, as a scan has none; OCR (`mistral-ocr`) may read it',
      param: call.path,
    })
    return content
  }
}

/** What a client is told of a PDF that was not read. */
function refusal({ kind, pages, cause }: PdfFailure, path: string, options: Options): GatewayError {
  const { max_pages, max_text_characters, parse_timeout_ms, memory_mb } = options
  switch (kind) {
    case 'busy':
      return gatewayError('provider_unavailable', 'Too many PDFs wait to be read at the moment', {
        details: { retry_after_secs: 1 },
        headers: { 'Retry-After': '1' },
      })
    case 'stopped':
      return gatewayError('shutting_down', 'The gateway is stopping')
    case 'encrypted':
      return invalidFile(path, 'is an encrypted PDF: send it without a password')
    case 'pages':
      return invalidFile(path, `is a PDF of ${pages ?? 'too many'} pages; at most ${max_pages} are read`)
    case 'characters':
      return invalidFile(path, `is a PDF of more than ${max_text_characters} characters`)
    case 'timeout':
      return invalidFile(path, `is a PDF that cannot be read within ${parse_timeout_ms} ms`)
    case 'memory':
      return invalidFile(path, `is a PDF that cannot be read with ${memory_mb} MB of memory`)
    case 'unreadable':
      return withCause(invalidFile(path, 'is not a PDF that can be read'), cause)
  }
}

function withCause(error: GatewayError, cause: unknown): GatewayError {
  return Object.assign(error, { cause })
}
