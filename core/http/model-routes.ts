import type { Dialect, Operation } from '../contract/canonical.ts'

/** An endpoint that runs an exchange. */
export interface ModelRoute {
  /** Without its `/api/v1` or `/v1`. */
  readonly path: string
  readonly operation: Operation
  readonly dialect: Dialect
  readonly scope: string
  readonly summary: string
}

/** The endpoints that run exchanges. */
export const modelRoutes: readonly ModelRoute[] = [
  {
    path: '/chat/completions',
    operation: 'generate',
    dialect: 'chat',
    scope: 'chat',
    summary: 'Create a chat completion',
  },
  { path: '/responses', operation: 'generate', dialect: 'responses', scope: 'chat', summary: 'Create a response' },
  {
    path: '/completions',
    operation: 'completions',
    dialect: 'completions',
    scope: 'completions',
    summary: 'Create a completion',
  },
  {
    path: '/embeddings',
    operation: 'embeddings',
    dialect: 'embeddings',
    scope: 'embeddings',
    summary: 'Create embeddings',
  },
]

/** `/v1` is an alias, since most examples of SDKs end their base URL in it. */
export const apiPrefixes = ['/api/v1', '/v1'] as const
