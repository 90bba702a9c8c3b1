import type { Dialect } from '../contract/canonical.ts'
import type { ClientDialect } from './dialect.ts'
import { chat } from './chat.ts'
import { completions } from './completions.ts'
import { embeddings } from './embeddings.ts'
import { responses } from './responses.ts'

/** The codec of each client dialect. */
export const dialects: Readonly<Record<Dialect, ClientDialect>> = { chat, responses, completions, embeddings }
