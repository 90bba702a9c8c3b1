import { definePlugin, gatewayError, stateKey } from '@hadrian/core/plugin'
import type { Exchange, GenerateRequest, JsonObject, StreamEvent, Target } from '@hadrian/core/plugin'
import { annotationItem, annotationOf, hasFileAnnotations, knownFiles, withoutFileAnnotations } from './annotations.ts'
import { DocumentCache } from './document-cache.ts'
import type { DocumentContent, ParsedFile } from './document.ts'
import { filesOf, hasFiles } from './file-parts.ts'
import { createOcr } from './mistral-ocr.ts'
import { optionsSchema, paramsSchema } from './options.ts'
import type { Engine, Params } from './options.ts'
import { createPdfEngines } from './pdf-engines.ts'
import { PdfReader } from './pdf-reader.ts'
import { readFiles, showAnnotations, tooLong } from './request-files.ts'

const parsedKey = stateKey<readonly ParsedFile[]>('file-parser.parsed')
const nothingKnown: ReadonlyMap<string, DocumentContent> = new Map()

export default definePlugin({
  name: 'file-parser',
  api: 1,
  description: 'Puts the text of PDFs and other files in their place, for models that take no files.',
  options: optionsSchema,
  params: paramsSchema,
  // Who judges or shortens prompts must see what is in the files.
  order: { before: ['blocklist', 'moderation', 'context-compression'] },
  timeoutMs: 65_000,

  setup({ options, clock, fetch, catalog }) {
    if (options.mistral_api_key === undefined && (options.default_engine === 'mistral-ocr' || options.ocr_scanned_pdfs))
      throw new Error('file-parser: mistral-ocr needs mistral_api_key')
    const memoryBytes = options.memory_mb * 1024 * 1024
    const reader = new PdfReader({
      clock,
      memoryBytes,
      maxPages: options.max_pages,
      maxCharacters: options.max_text_characters,
      timeoutMs: options.parse_timeout_ms,
      maxQueue: options.max_queue,
    })
    const ocr =
      options.mistral_api_key === undefined
        ? undefined
        : createOcr({
            fetch,
            apiKey: options.mistral_api_key,
            baseUrl: options.mistral_base_url,
            model: options.mistral_model,
            timeoutMs: options.ocr_timeout_ms,
          })
    const readPdf = createPdfEngines({ options, reader, ocr, cache: new DocumentCache(options.cache_bytes) })

    /** What is known of the model, else of its provider. Names of lists differ in what they call files. */
    const takes = ({ info, provider }: Target, ...modalities: readonly string[]): boolean =>
      (info?.inputModalities ?? catalog.providers.find(({ name }) => name === provider)?.input ?? []).some((each) =>
        modalities.includes(each),
      )
    const takesFiles = (target: Target): boolean => takes(target, 'file', 'pdf')
    const takesImages = (target: Target): boolean => takes(target, 'image')

    const engineOf = (exchange: Exchange, { pdf }: Params, targetsTakeFiles: boolean): Engine => {
      const named = pdf?.engine
      if (named === undefined) return targetsTakeFiles ? 'native' : options.default_engine
      if (named === 'mistral-ocr' && !ocr) {
        throw gatewayError('unsupported', 'The engine "mistral-ocr" is not configured at this gateway', {
          param: engineField(exchange),
        })
      }
      return named === 'cloudflare-ai' ? 'pdf-text' : named
    }

    const parse = async (
      exchange: Exchange,
      call: Pick<Parameters<typeof readFiles>[0], 'engine' | 'maxFiles' | 'known' | 'targetsTakeFiles'>,
    ) => {
      const deadline = new AbortController()
      const onAbort = (): void => deadline.abort(exchange.signal.reason)
      exchange.signal.addEventListener('abort', onAbort, { once: true })
      const cancel = clock.after(options.total_timeout_ms, () => deadline.abort(tooLong(options.total_timeout_ms)))
      try {
        const parsed = await readFiles({
          ...call,
          exchange,
          options,
          fetch,
          readPdf,
          targetsTakeImages: exchange.targets.some(takesImages),
          signal: deadline.signal,
        })
        if (parsed.length > 0) exchange.set(parsedKey, parsed)
      } finally {
        cancel()
        exchange.signal.removeEventListener('abort', onAbort)
      }
    }

    return {
      ...(options.implicit && {
        implied: (request: GenerateRequest, targets: readonly Target[]) =>
          hasFileAnnotations(request) || (hasFiles(request) && !targets.every(takesFiles)),
      }),

      transform(exchange, params) {
        const known = hasFileAnnotations(exchange.request)
          ? knownFiles(exchange.request, options.max_text_characters)
          : nothingKnown
        if (hasFileAnnotations(exchange.request)) exchange.edit(withoutFileAnnotations)
        if (!hasFiles(exchange.request)) return
        const targetsTakeFiles = exchange.targets.every(takesFiles)
        const engine = engineOf(exchange, params, targetsTakeFiles)
        if (engine === 'native') {
          if (!exchange.targets.some(takesFiles)) warnUnread(exchange)
          return
        }
        const maxFiles = Math.min(params.max_files ?? options.max_files, options.max_files)
        return parse(exchange, { engine, maxFiles, known, targetsTakeFiles })
      },

      async dispatch(exchange, next) {
        const parsed = exchange.get(parsedKey)
        if (!parsed) return next()
        try {
          return await next()
        } catch (error) {
          showAnnotations(error, parsed)
          throw error
        }
      },

      rewrites: (exchange) => exchange.get(parsedKey) !== undefined,
      // Annotations come last, before `finish` and also where the answer was cut.
      event: () => undefined,
      flush(exchange) {
        const parsed = exchange.get(parsedKey)
        return parsed && annotationEvents(exchange, parsed)
      },

      explain(exchange, params) {
        const files = filesOf(exchange.request).length
        if (files === 0) return undefined
        return { files, engine: engineOf(exchange, params, exchange.targets.every(takesFiles)) }
      },

      stop: () => reader.stop(),
    }
  },
})

function indexOf({ plugins = [] }: GenerateRequest): number {
  return plugins.findIndex(({ id }) => id === 'file-parser')
}

/** Where the engine stands in the client's body, or would: the operator may have named it too. */
function engineField({ request }: Exchange): string {
  const index = indexOf(request)
  return index === -1 ? 'plugins' : `plugins[${index}].pdf.engine`
}

function warnUnread(exchange: Exchange): void {
  exchange.warn({
    code: 'file_not_supported',
    message: 'As far as is known, no target of this request takes files; `native` sends them nevertheless',
    param: engineField(exchange),
  })
}

/**
 * The annotations as parts of the answer, for each of its choices. The Responses API has no annotation of this kind, so
 * that its clients get an item of their own, and only where they named the plugin: others may not know what to make of it.
 */
function annotationEvents(exchange: Exchange, parsed: readonly ParsedFile[]): readonly StreamEvent[] {
  const annotations = parsed.map(annotationOf)
  if (exchange.dialect === 'responses') {
    if (indexOf(exchange.request) === -1) return []
    return [partEvent('responses', { type: annotationItem, annotations }, 0)]
  }
  const choices = Array.from({ length: exchange.request.n ?? 1 }, (_, choice) => choice)
  return choices.flatMap((choice) => annotations.map((annotation) => partEvent('chat', annotation, choice)))
}

function partEvent(dialect: string, value: JsonObject, choice: number): StreamEvent {
  return { type: 'part', choice, part: { type: 'native', dialect, value } }
}
