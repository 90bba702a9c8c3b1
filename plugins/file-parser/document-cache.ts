import type { DocumentContent } from './document.ts'

/** What was read of one PDF by one engine. */
export interface CachedDocument {
  readonly pages: number
  readonly content: DocumentContent
}

/** Bytes reckoned for the key and the objects of an entry. */
const entryBytes = 512

/** Keeps what was read of PDFs, the most recently used, within a number of bytes. */
export class DocumentCache {
  readonly #limitBytes: number
  readonly #entries = new Map<string, { readonly document: CachedDocument; readonly bytes: number }>()
  #bytes = 0

  /** @param limitBytes what all entries together may take; 0 keeps none */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): CachedDocument | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.document
  }

  set(key: string, document: CachedDocument): void {
    this.#delete(key)
    const bytes = sizeOf(document)
    if (bytes > this.#limitBytes) return
    this.#entries.set(key, { document, bytes })
    this.#bytes += bytes
    while (this.#bytes > this.#limitBytes) this.#delete(this.#entries.keys().next().value!)
  }

  #delete(key: string): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    this.#entries.delete(key)
    this.#bytes -= entry.bytes
  }
}

/** The most it can take: the engine has one or two bytes for a character. */
function sizeOf({ content }: CachedDocument): number {
  let characters = 0
  for (const piece of content) characters += piece.type === 'text' ? piece.text.length : piece.image_url.url.length
  return entryBytes + characters * 2
}
