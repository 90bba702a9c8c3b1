import type { ObjectSchema, OptionsOf } from '@hadrian/core/plugin'

/** The engines a client may name, by their names on the wire. */
export const engines = ['native', 'pdf-text', 'mistral-ocr', 'cloudflare-ai'] as const

/** How PDFs are read. */
export type Engine = Exclude<(typeof engines)[number], 'cloudflare-ai'>

/** JSON Schema of `[plugins.file-parser]`. */
export const optionsSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    default_engine: {
      enum: ['pdf-text', 'mistral-ocr'],
      default: 'pdf-text',
      description: 'Engine for PDFs where the client names none and a target takes no files.',
    },
    implicit: {
      type: 'boolean',
      default: true,
      description: 'Run for files to a target that takes none, also where the client does not name the plugin.',
    },
    max_files: { type: 'integer', minimum: 1, maximum: 100, default: 16, description: 'Files read per request.' },
    max_file_bytes: {
      type: 'integer',
      minimum: 1024,
      maximum: 104_857_600,
      default: 20_971_520,
      description: 'Size of a file, sent along or fetched.',
    },
    max_pages: { type: 'integer', minimum: 1, maximum: 10_000, default: 500, description: 'Pages of a PDF.' },
    max_text_characters: {
      type: 'integer',
      minimum: 1,
      maximum: 50_000_000,
      default: 2_000_000,
      description: 'Text of one file, and of all files of a request together.',
    },
    parse_timeout_ms: {
      type: 'integer',
      minimum: 10,
      default: 10_000,
      description: 'Time that reading one PDF may take, without its wait for others.',
    },
    memory_mb: {
      type: 'integer',
      minimum: 64,
      maximum: 8192,
      default: 512,
      description: 'Memory that reading one PDF may take.',
    },
    max_queue: {
      type: 'integer',
      minimum: 1,
      maximum: 1000,
      default: 64,
      description: 'PDFs that may wait their turn.',
    },
    fetch_timeout_ms: { type: 'integer', minimum: 10, default: 15_000, description: 'Time for fetching one URL.' },
    total_timeout_ms: {
      type: 'integer',
      minimum: 10,
      default: 60_000,
      description: 'Time for all files of a request. Stay below `timeout_ms`.',
    },
    cache_bytes: {
      type: 'integer',
      minimum: 0,
      default: 33_554_432,
      description: 'Memory for texts of PDFs that were read before; 0 keeps none.',
    },
    cache_ocr: { type: 'boolean', default: false, description: 'Keep what OCR gave there too.' },
    mistral_api_key: { type: 'string', minLength: 1, writeOnly: true, description: 'Switches `mistral-ocr` on.' },
    mistral_base_url: {
      type: 'string',
      pattern: '^https?://',
      default: 'https://api.mistral.ai',
      description: 'Where `/v1/ocr` is.',
    },
    mistral_model: { type: 'string', minLength: 1, default: 'mistral-ocr-latest', description: 'Model of `/v1/ocr`.' },
    ocr_price_per_1000_pages_usd: {
      type: 'number',
      minimum: 0,
      default: 2,
      description: 'What OCR is charged to the caller with.',
    },
    ocr_timeout_ms: { type: 'integer', minimum: 10, default: 45_000, description: 'Time for the OCR of one PDF.' },
    ocr_scanned_pdfs: {
      type: 'boolean',
      default: false,
      description: 'Send a PDF in which `pdf-text` finds no text to OCR.',
    },
  },
} as const satisfies ObjectSchema

/** JSON Schema of the `plugins` entry of a client. */
export const paramsSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    pdf: {
      type: 'object',
      additionalProperties: false,
      properties: {
        engine: {
          enum: engines,
          description:
            'How PDFs are read: `native` leaves them to the provider, `pdf-text` (also called `cloudflare-ai`) takes ' +
            'their text, `mistral-ocr` reads scans too and costs money.',
        },
      },
      description: 'Default: native where every target takes files, else the `default_engine` of the operator.',
    },
    max_files: { type: 'integer', minimum: 1, description: 'Refuse a request with more files to read than this.' },
  },
} as const satisfies ObjectSchema

export type Options = OptionsOf<typeof optionsSchema>
export type Params = OptionsOf<typeof paramsSchema>
