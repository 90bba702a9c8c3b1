import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { GenerateRequest, JsonObject, Message, Part } from '../../core/contract/plugin.ts'
import { hasFileAnnotations, knownFiles, withoutFileAnnotations } from '../../plugins/file-parser/annotations.ts'
import { DocumentCache } from '../../plugins/file-parser/document-cache.ts'
import { documentParts } from '../../plugins/file-parser/document.ts'
import type { DocumentPiece } from '../../plugins/file-parser/document.ts'
import { isCalledPdf, isPdf, textOf } from '../../plugins/file-parser/file-kind.ts'
import { filesOf, hasFiles, withParts } from '../../plugins/file-parser/file-parts.ts'

const file = (data: string): Part => ({ type: 'media', kind: 'file', data })
const anyPart: fc.Arbitrary<Part> = fc.oneof(
  fc.string().map((text): Part => ({ type: 'text', text })),
  fc.string({ minLength: 1 }).map(file),
  fc.constant<Part>({ type: 'media', kind: 'file', fileId: 'x' }),
  fc
    .array(
      fc.oneof(
        fc.string().map(file),
        fc.string().map((text): Part => ({ type: 'text', text })),
      ),
    )
    .map((content): Part => ({ type: 'tool_result', toolCallId: 'c', content })),
)
const anyAnnotations = fc.array(
  fc.oneof(
    fc.constant({ type: 'url_citation' }),
    fc.jsonValue(),
    fc.record({ type: fc.constant('file'), file: fc.jsonValue() }),
  ),
)
const anyMessage: fc.Arbitrary<Message> = fc.record({
  role: fc.constantFrom('user', 'assistant', 'tool'),
  content: fc.array(anyPart),
  extra: fc.option(
    anyAnnotations.map((annotations): JsonObject => ({ annotations, kept: 1 })),
    { nil: undefined },
  ),
})

function request(messages: readonly Message[]): GenerateRequest {
  return { operation: 'generate', dialect: 'chat', messages, stream: false, extra: {} }
}

describe('file-parser: parts', () => {
  it('are found all or not at all, and replaced in their places', () => {
    fc.assert(
      fc.property(fc.array(anyMessage), (messages) => {
        const before = request(messages)
        const found = filesOf(before)
        assert.equal(hasFiles(before), found.length > 0)
        const replaced = withParts(
          before,
          new Map(found.map(({ part, path }) => [part, [{ type: 'text', text: path }]])),
        )
        assert.equal(hasFiles(replaced), false)
        assert.equal(replaced.messages.length, messages.length)
        for (const [index, message] of replaced.messages.entries())
          assert.equal(message.content.length, messages[index]!.content.length)
      }),
    )
  })
})

describe('file-parser: annotations', () => {
  it('of any shape are read without a throw and taken out, and nothing else is', () => {
    fc.assert(
      fc.property(fc.array(anyMessage), (messages) => {
        const before = request(messages)
        knownFiles(before, 1000)
        const after = withoutFileAnnotations(before)
        assert.equal(hasFileAnnotations(after), false)
        if (!hasFileAnnotations(before)) assert.deepEqual(after.messages, messages)
        for (const [index, { extra, content }] of after.messages.entries()) {
          assert.equal(extra?.['kept'], messages[index]!.extra?.['kept'])
          assert.deepEqual(content, messages[index]!.content)
        }
      }),
    )
  })

  it('with more text than the limit are passed over', () => {
    const of = (text: string): GenerateRequest => {
      const annotation = { type: 'file', file: { hash: 'a'.repeat(64), content: [{ type: 'text', text }] } }
      return request([{ role: 'assistant', content: [], extra: { annotations: [annotation] } }])
    }
    assert.equal(knownFiles(of('12345'), 5).size, 1)
    assert.equal(knownFiles(of('123456'), 5).size, 0)
  })
})

describe('file-parser: documents', () => {
  const pieces: fc.Arbitrary<DocumentPiece[]> = fc.array(
    fc.oneof(
      fc
        .oneof(fc.string(), fc.constantFrom('</file>', '<file name="x">', '</ FILE>', '<filed>'))
        .map((text): DocumentPiece => ({ type: 'text', text })),
      fc
        .constantFrom('data:image/png;base64,AAAA', 'https://example.com/a.png', 'javascript:1', 'data:text/html,x')
        .map((url): DocumentPiece => ({ type: 'image_url', image_url: { url } })),
    ),
  )

  it('stand in one mark, whatever their text and name, with no more pictures than allowed', () => {
    fc.assert(
      fc.property(pieces, fc.string(), fc.nat(4), (content, name, images) => {
        const parts = documentParts(content, { name, images })
        const text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
        assert.match(text, /^<file name="[^"<>\n]*">\n/)
        assert.equal(text.match(/<\/?\s*file\b/gi)?.length, 2)
        assert.ok(text.endsWith('\n</file>'))
        const pictures = parts.filter(({ type }) => type === 'media')
        assert.ok(pictures.length <= images)
        for (const picture of pictures)
          assert.ok(picture.type === 'media' && (picture.data ?? picture.url?.startsWith('http')))
      }),
    )
  })
})

describe('file-parser: kinds of files', () => {
  it('goes by the bytes for PDFs', () => {
    assert.equal(isPdf(Buffer.from('%PDF-1.7')), true)
    assert.equal(isPdf(Buffer.from(`${'x'.repeat(900)}%PDF-1.7`)), true)
    assert.equal(isPdf(Buffer.from(`${'x'.repeat(1100)}%PDF-1.7`)), false)
    assert.equal(isPdf(Buffer.alloc(0)), false)
    assert.equal(isCalledPdf({ mediaType: 'Application/PDF; x=1' }), true)
    assert.equal(isCalledPdf({ name: 'a.PDF' }), true)
    assert.equal(isCalledPdf({ mediaType: 'text/plain', name: 'a.pdf' }), false)
  })

  it('reads texts in the encodings that are about', () => {
    const called = { mediaType: 'text/plain' }
    assert.equal(textOf(Buffer.from('\u{FEFF}grün'), called), 'grün')
    assert.equal(textOf(Buffer.from('\u{FEFF}grün', 'utf16le'), called), 'grün')
    assert.equal(textOf(Buffer.from('\u{FEFF}grün', 'utf16le').swap16(), called), 'grün')
    assert.equal(textOf(Buffer.from('grün', 'latin1'), called), 'grün')
    assert.equal(textOf(Buffer.from('grün'), {}), 'grün')
    assert.equal(textOf(Buffer.from('grün', 'latin1'), {}), undefined)
    assert.equal(textOf(Buffer.from('a\0b'), called), undefined)
    assert.equal(textOf(Buffer.from('text'), { mediaType: 'image/png', name: 'a.txt' }), undefined)
    assert.equal(textOf(Buffer.from('{}'), { mediaType: 'application/vnd.api+json; charset=utf-8' }), '{}')
  })
})

describe('file-parser: cache', () => {
  const of = (characters: number) => ({ pages: 1, content: [{ type: 'text' as const, text: 'x'.repeat(characters) }] })

  it('keeps the most recently used within its bytes', () => {
    const cache = new DocumentCache(3 * (512 + 200))
    for (const key of ['a', 'b', 'c']) cache.set(key, of(100))
    assert.ok(cache.get('a'))
    cache.set('d', of(100))
    assert.equal(cache.get('b'), undefined)
    assert.ok(cache.get('a') && cache.get('c') && cache.get('d'))
  })

  it('never has more than its limit, and keeps nothing that is larger', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.nat(2000))),
        fc.nat(5000),
        (entries, limit) => {
          const cache = new DocumentCache(limit)
          for (const [key, characters] of entries) {
            cache.set(key, of(characters))
            assert.ok(cache.bytes <= limit)
            assert.equal(cache.get(key) !== undefined, 512 + characters * 2 <= limit)
          }
        },
      ),
    )
  })
})
