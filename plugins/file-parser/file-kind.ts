/** Tells PDFs and texts from all other files, by their bytes first and by what is said of them second. */

/** What can be known of a file besides its bytes. */
export interface FileFacts {
  /** Media type, with or without parameters. */
  readonly mediaType?: string | undefined
  readonly name?: string | undefined
}

const textTypes = new Set([
  'application/json', 'application/ld+json', 'application/x-ndjson', 'application/jsonl', 'application/csv',
  'application/xml', 'application/xhtml+xml', 'application/yaml', 'application/x-yaml', 'application/toml',
  'application/javascript', 'application/x-javascript', 'application/typescript', 'application/sql',
  'application/x-sh', 'application/x-tex', 'application/graphql',
]) // prettier-ignore

const textEndings = new Set([
  'txt', 'text', 'md', 'markdown', 'rst', 'csv', 'tsv', 'json', 'jsonl', 'ndjson', 'xml', 'html', 'htm', 'yaml', 'yml',
  'toml', 'ini', 'cfg', 'conf', 'log', 'tex', 'sql', 'js', 'mjs', 'ts', 'tsx', 'jsx', 'py', 'rb', 'go', 'rs', 'java',
  'c', 'h', 'cpp', 'cs', 'php', 'sh', 'css', 'svg', 'srt', 'vtt',
]) // prettier-ignore

/** Media types that say nothing. */
const anyTypes = new Set(['', 'application/octet-stream', 'binary/octet-stream', 'application/x-unknown'])

/** Media types that a URL of a file may have. */
export const fetchedTypes: readonly string[] = [
  'application/pdf',
  'application/x-pdf',
  'text/*',
  ...textTypes,
  ...[...anyTypes].filter((type) => type !== ''),
]

/** Readers look for the mark of a PDF in its first kilobyte: some writers put something in front. */
const markWithin = 1024

/** Whether the bytes are those of a PDF. */
export function isPdf(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, markWithin)).includes('%PDF-')
}

/** A file that says it is a PDF, whatever it is. */
export function isCalledPdf({ mediaType, name }: FileFacts): boolean {
  const type = plain(mediaType)
  return type === 'application/pdf' || type === 'application/x-pdf' || (anyTypes.has(type) && endingOf(name) === 'pdf')
}

/** The text of a file that is one; undefined for any other. A byte order mark is left out. */
export function textOf(bytes: Uint8Array, facts: FileFacts): string | undefined {
  const type = plain(facts.mediaType)
  const isCalledText =
    type.startsWith('text/') || textTypes.has(type) || type.endsWith('+json') || type.endsWith('+xml') ||
    (anyTypes.has(type) && textEndings.has(endingOf(facts.name))) // prettier-ignore
  if (!isCalledText && !anyTypes.has(type)) return undefined
  const mark = bytes.byteLength >= 2 ? bytes[0]! * 256 + bytes[1]! : 0
  if (isCalledText && (mark === 0xff_fe || mark === 0xfe_ff))
    return new TextDecoder(mark === 0xff_fe ? 'utf-16le' : 'utf-16be').decode(bytes)
  if (bytes.includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    // Where nobody says that it is text, bytes that are no UTF-8 are none.
    return isCalledText ? new TextDecoder('windows-1252').decode(bytes) : undefined
  }
}

function plain(mediaType = ''): string {
  return mediaType.split(';', 1)[0]!.trim().toLowerCase()
}

function endingOf(name = ''): string {
  return name.slice(name.lastIndexOf('.') + 1).toLowerCase()
}
