import { deflateSync } from 'node:zlib'

/** What {@link pdf} makes differently. */
export interface PdfShape {
  /** Further entries of the trailer. */
  readonly trailer?: string
  /** How many pages the file says it has; default: as many as it has. */
  readonly count?: number
}

/** A PDF whose pages say these lines. A page that is bytes has them as its content, deflated. */
export function pdf(pages: readonly (string | Uint8Array)[], shape: PdfShape = {}): Buffer {
  const first = 4
  const references = pages.map((_, index) => `${first + index * 2} 0 R`)
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    `<< /Type /Pages /Kids [${references.join(' ')}] /Count ${shape.count ?? pages.length} >>`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
    ...pages.flatMap((page, index) => [
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> ` +
        `/Contents ${first + index * 2 + 1} 0 R >>`,
      content(page),
    ]),
  ]
  const chunks = [Buffer.from('%PDF-1.4\n')]
  const offsets: number[] = []
  let position = chunks[0]!.length
  for (const [index, object] of objects.entries()) {
    offsets.push(position)
    const body = typeof object === 'string' ? Buffer.from(object) : object
    const chunk = Buffer.concat([Buffer.from(`${index + 1} 0 obj\n`), body, Buffer.from('\nendobj\n')])
    chunks.push(chunk)
    position += chunk.length
  }
  const lines = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('')
  chunks.push(
    Buffer.from(
      `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${lines}` +
        `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R ${shape.trailer ?? ''} >>\nstartxref\n${position}\n%%EOF\n`,
    ),
  )
  return Buffer.concat(chunks)
}

function content(page: string | Uint8Array): Buffer {
  if (typeof page === 'string') {
    const text = page.replaceAll(/[\\()]/g, String.raw`\$&`)
    return stream(Buffer.from(text === '' ? '' : `BT /F1 12 Tf 72 720 Td (${text}) Tj ET`), '')
  }
  return stream(deflateSync(page, { level: 9 }), '/Filter /FlateDecode')
}

function stream(bytes: Buffer, filter: string): Buffer {
  return Buffer.concat([
    Buffer.from(`<< /Length ${bytes.length} ${filter} >>\nstream\n`),
    bytes,
    Buffer.from('\nendstream'),
  ])
}

/** A PDF of a megabyte whose page unpacks to this many megabytes of drawing that says nothing. */
export function bomb(megabytes: number): Buffer {
  return pdf([Buffer.alloc(megabytes * 1024 * 1024, ' q Q')])
}

/** A PDF that wants a password. */
export function encryptedPdf(): Buffer {
  const key = '00'.repeat(32)
  return pdf(['secret'], {
    trailer: `/ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] /Encrypt << /Filter /Standard /V 1 /R 2 /O <${key}> /U <${key}> /P -4 >>`,
  })
}

/** A file part of Chat Completions. */
export function chatFile(
  bytes: Uint8Array,
  { filename = 'paper.pdf', type = 'application/pdf' }: { readonly filename?: string; readonly type?: string } = {},
): object {
  const data = Buffer.from(bytes).toString('base64')
  return { type: 'file', file: { filename, file_data: `data:${type};base64,${data}` } }
}

/** A file part of the Responses API. */
export function inputFile(bytes: Uint8Array, filename = 'paper.pdf'): object {
  return {
    type: 'input_file',
    filename,
    file_data: `data:application/pdf;base64,${Buffer.from(bytes).toString('base64')}`,
  }
}
