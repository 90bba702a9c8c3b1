import { createHash } from 'node:crypto'
import type { Exchange, MediaPart, Part, SafeFetch } from '@hadrian/core/plugin'
import { gatewayError, isGatewayError } from '@hadrian/core/plugin'
import { annotationOf } from './annotations.ts'
import { charactersOf, documentParts, imagesOf, mostImages } from './document.ts'
import type { DocumentContent, ParsedFile } from './document.ts'
import { fetchedTypes, isCalledPdf, isPdf, textOf } from './file-kind.ts'
import { filesOf, withParts } from './file-parts.ts'
import type { FilePart } from './file-parts.ts'
import { invalidFile, loadFile } from './file-source.ts'
import type { SourceFile } from './file-source.ts'
import type { Engine, Options } from './options.ts'
import type { ReadPdf } from './pdf-engines.ts'

/** What the files of one request are read with. */
export interface FilesCall {
  readonly exchange: Exchange
  readonly options: Options
  readonly fetch: SafeFetch
  readonly readPdf: ReadPdf
  readonly engine: Exclude<Engine, 'native'>
  readonly maxFiles: number
  /** What the client has handed back, by hash. */
  readonly known: ReadonlyMap<string, DocumentContent>
  /** Every target takes files, so that only PDFs are of concern here. */
  readonly targetsTakeFiles: boolean
  readonly targetsTakeImages: boolean
  readonly signal: AbortSignal
}

/** Files of one request that are fetched and read at a time. */
const atATime = 4

interface ReadFile {
  readonly name: string | undefined
  readonly content: DocumentContent
}

/**
 * Reads the files of a request and puts their text in their place. Returns what was read that the client does not know
 * yet, in order, for it to hand back.
 *
 * @throws GatewayError for the first file that cannot be read; the annotations of those that were stand in its details
 */
export async function readFiles(call: FilesCall): Promise<readonly ParsedFile[]> {
  const { exchange, maxFiles, options } = call
  const files = filesOf(exchange.request)
  if (files.length > maxFiles)
    throw invalidFile(files[maxFiles]!.path, `is one file too many: at most ${maxFiles} are read`)
  const parsed = new Map<string, ParsedFile>()
  const read = new Map<MediaPart, ReadFile>()
  const reading = new Map<string, Promise<DocumentContent>>()
  const stop = new AbortController()
  const onAbort = (): void => stop.abort(call.signal.reason)
  call.signal.addEventListener('abort', onAbort, { once: true })
  const waiting = files.values()
  const work = async (): Promise<void> => {
    for (const file of waiting) {
      const result = await readOne(file, { ...call, signal: stop.signal }, { parsed, reading })
      if (result) read.set(file.part, result)
    }
  }
  try {
    if (call.signal.aborted) onAbort()
    const workers = Array.from({ length: Math.min(atATime, files.length) }, () =>
      // The first failure is the one that is told; the others only hear of it.
      work().catch((error: unknown) => stop.abort(error)),
    )
    await Promise.all(workers)
    stop.signal.throwIfAborted()
    checkTotal(files, read, options.max_text_characters)
  } catch (error) {
    showAnnotations(error, [...parsed.values()])
    throw error
  } finally {
    call.signal.removeEventListener('abort', onAbort)
  }
  replaceParts(call, files, read)
  return [...parsed.values()]
}

async function readOne(
  file: FilePart,
  call: FilesCall,
  {
    parsed,
    reading,
  }: { readonly parsed: Map<string, ParsedFile>; readonly reading: Map<string, Promise<DocumentContent>> },
): Promise<ReadFile | undefined> {
  const { options, signal, fetch, targetsTakeFiles } = call
  signal.throwIfAborted()
  const limits = {
    fetch,
    signal,
    limitBytes: options.max_file_bytes,
    timeoutMs: options.fetch_timeout_ms,
    // What is no PDF is left to targets that take files.
    ...(!targetsTakeFiles && { accept: fetchedTypes }),
  }
  const source = await loadFile(file, limits)
  const { bytes, name } = source
  if (!isPdf(bytes)) return otherFile(source, file, { targetsTakeFiles, mostCharacters: options.max_text_characters })
  const hash = createHash('sha256').update(bytes).digest('hex')
  const known = call.known.get(hash)
  if (known) return { name, content: known }
  let content = reading.get(hash)
  if (!content) {
    const { exchange, engine, readPdf, targetsTakeImages: images } = call
    content = readPdf({ exchange, engine, bytes, hash, path: file.path, images, signal })
    reading.set(hash, content)
  }
  const pieces = await content
  if (!parsed.has(hash)) parsed.set(hash, { hash, name, content: pieces })
  return { name, content: pieces }
}

/** A text as it is. Anything else is left to the targets, if they take files. */
function otherFile(
  source: SourceFile,
  { path }: FilePart,
  { targetsTakeFiles, mostCharacters }: { readonly targetsTakeFiles: boolean; readonly mostCharacters: number },
): ReadFile | undefined {
  if (targetsTakeFiles) return undefined
  if (isCalledPdf(source)) throw invalidFile(path, 'is not a PDF that can be read')
  const text = textOf(source.bytes, source)
  if (text === undefined) throw invalidFile(path, 'is neither a PDF nor a text, and the model takes no other files')
  if (text.length > mostCharacters) throw invalidFile(path, `is a text of more than ${mostCharacters} characters`)
  return { name: source.name, content: [{ type: 'text', text }] }
}

function checkTotal(files: readonly FilePart[], read: ReadonlyMap<MediaPart, ReadFile>, mostCharacters: number): void {
  let characters = 0
  for (const { part, path } of files) {
    characters += charactersOf(read.get(part)?.content ?? [])
    if (characters > mostCharacters)
      throw invalidFile(path, `is a file too many: together they have more than ${mostCharacters} characters`)
  }
}

function replaceParts(
  { exchange, targetsTakeImages }: FilesCall,
  files: readonly FilePart[],
  read: ReadonlyMap<MediaPart, ReadFile>,
): void {
  const replacements = new Map<Part, readonly Part[]>()
  let imagesLeft = targetsTakeImages ? mostImages : 0
  for (const { part } of files) {
    const file = read.get(part)
    if (!file) continue
    const images = Math.min(imagesOf(file.content), imagesLeft)
    imagesLeft -= images
    replacements.set(
      part,
      documentParts(file.content, { name: file.name ?? 'file', images, cacheControl: part.cacheControl }),
    )
  }
  if (replacements.size > 0) exchange.edit((request) => withParts(request, replacements))
}

/** Puts what was read into the details of a failure: the client may hand it back, and need not pay for it again. */
export function showAnnotations(error: unknown, files: readonly ParsedFile[]): void {
  if (files.length === 0 || !isGatewayError(error)) return
  Object.assign(error, { details: { ...error.details, file_annotations: files.map(annotationOf) } })
}

/** The failure of a request whose files take too long together. */
export function tooLong(timeoutMs: number): Error {
  return gatewayError('provider_timeout', `The files of the request were not read within ${timeoutMs} ms`, {
    details: { timeout: 'plugins.file-parser.total_timeout_ms' },
  })
}
