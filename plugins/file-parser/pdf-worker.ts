/** The thread that reads PDFs: whatever a file does to it, the gateway goes on, and another thread takes its place. */

import { parentPort } from 'node:worker_threads'
import { getResolvedPDFJS } from 'unpdf'
import type { PdfAnswer, PdfTask } from './pdf-reader.ts'

type PdfDocument = Awaited<ReturnType<Awaited<ReturnType<typeof getResolvedPDFJS>>['getDocument']>['promise']>

interface TextChunk {
  readonly items: readonly { readonly str?: string; readonly hasEOL?: boolean }[]
}

async function read({ bytes, want, maxPages, maxCharacters }: PdfTask): Promise<PdfAnswer> {
  const { getDocument } = await getResolvedPDFJS()
  const loading = getDocument({
    data: bytes,
    verbosity: 0,
    disableFontFace: true,
    useSystemFonts: false,
    useWorkerFetch: false,
    enableXfa: false,
  })
  const answer = await answerOf(await loading.promise, { want, maxPages, maxCharacters })
  // A library that is left in the middle of a page cannot be tidied up: the caller ends the thread.
  if (answer.failure !== 'characters') await loading.destroy()
  return answer
}

async function answerOf(
  document: PdfDocument,
  { want, maxPages, maxCharacters }: Omit<PdfTask, 'bytes'>,
): Promise<PdfAnswer> {
  const pages = document.numPages
  if (pages > maxPages) return { failure: 'pages', pages }
  if (want === 'count') return { pages, text: '' }
  const text = await textOf(document, maxCharacters)
  return text === undefined ? { failure: 'characters' } : { pages, text }
}

/** The text of all pages, with an empty line between two; undefined if it is longer than that. */
async function textOf(document: PdfDocument, maxCharacters: number): Promise<string | undefined> {
  const pieces: string[] = []
  let characters = 0
  for (let number = 1; number <= document.numPages; number++) {
    const page = await document.getPage(number)
    if (number > 1) pieces.push('\n\n')
    const chunks = page.streamTextContent() as ReadableStream<TextChunk>
    for await (const { items } of chunks.values({ preventCancel: true })) {
      for (const { str = '', hasEOL } of items) {
        const piece = hasEOL ? `${str}\n` : str
        if (piece !== '') pieces.push(piece)
        characters += piece.length
      }
      if (characters > maxCharacters) return undefined
    }
    page.cleanup()
  }
  return pieces.join('').trim()
}

function failureOf(error: unknown): PdfAnswer {
  const { name, message } = error as Error
  return { failure: name === 'PasswordException' ? 'encrypted' : 'unreadable', reason: `${name}: ${message}` }
}

parentPort!.on('message', (task: PdfTask) => {
  void read(task)
    .catch(failureOf)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
    .then((answer) => parentPort!.postMessage(answer))
})
