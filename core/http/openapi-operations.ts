/** What `/openapi.json` says about the kernel's own endpoints. */

import type { errorCodes } from '../contract/errors.ts'

type KernelErrorCode = keyof typeof errorCodes

/** One endpoint of the kernel. */
export interface KernelOperation {
  readonly method: 'GET' | 'POST'
  /** With `{name}` for parameters. */
  readonly path: string
  readonly id: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  /** Names of definitions of the schema library. */
  readonly request?: string
  /** Absent: the answer is text. */
  readonly response?: string
  /** The definition of one record, where the answer can be a stream. */
  readonly streamed?: string
  /** Needs no credential. */
  readonly open?: boolean
  readonly errors: readonly KernelErrorCode[]
}

const callErrors = ['missing_credentials', 'invalid_api_key', 'insufficient_scope', 'rate_limit_exceeded'] as const

/** What every call of a model can fail with. */
const modelErrors = [
  'invalid_request_error',
  'invalid_json',
  'unsupported',
  'routing_error',
  'content_blocked',
  ...callErrors,
  'budget_exceeded',
  'model_not_allowed',
  'ip_not_allowed',
  'request_too_large',
  'unsupported_media_type',
  'internal_error',
  'provider_error',
  'provider_unavailable',
  'budget_unavailable',
  'rate_limits_unavailable',
  'provider_timeout',
] as const satisfies readonly KernelErrorCode[]

const streaming =
  'With `"stream": true` the answer is `text/event-stream`: one record per event, comment lines as keep-alive, and ' +
  '`data: [DONE]` at the end of every complete stream. A failure before the first byte is a normal JSON error with its ' +
  'status; after it, the stream ends with a typed error and without `[DONE]`. Closing the connection stops the model.'

/** In the order the document shows them. */
export const kernelOperations: readonly KernelOperation[] = [
  {
    method: 'POST',
    path: '/api/v1/chat/completions',
    id: 'createChatCompletion',
    tag: 'Chat',
    summary: 'Create a chat completion',
    description:
      'Create chat completions using conversational message format. Supports streaming, tool use, vision, and reasoning ' +
      `models. OpenAI-compatible.\n\n${streaming}`,
    request: 'ChatCompletionRequest',
    response: 'ChatCompletion',
    streamed: 'ChatCompletionChunk',
    errors: modelErrors,
  },
  {
    method: 'POST',
    path: '/api/v1/responses',
    id: 'createResponse',
    tag: 'Responses',
    summary: 'Create a response',
    description: `OpenAI-compatible, and served for every provider, also for those that only know chat.\n\n${streaming}`,
    request: 'ResponseRequest',
    response: 'Response',
    streamed: 'ResponseStreamEvent',
    errors: modelErrors,
  },
  {
    method: 'POST',
    path: '/api/v1/embeddings',
    id: 'createEmbedding',
    tag: 'Embeddings',
    summary: 'Create embeddings',
    request: 'EmbeddingRequest',
    response: 'EmbeddingList',
    errors: modelErrors,
  },
  {
    method: 'POST',
    path: '/api/v1/completions',
    id: 'createCompletion',
    tag: 'Completions',
    summary: 'Create a text completion',
    description: `The older form, for models that complete a text.\n\n${streaming}`,
    request: 'CompletionRequest',
    response: 'Completion',
    streamed: 'Completion',
    errors: modelErrors,
  },
  {
    method: 'POST',
    path: '/api/v1/explain',
    id: 'explainRequest',
    tag: 'Explain',
    summary: 'Explain what would become of a request',
    description:
      'Takes the body of a model call and says which targets would be tried in which order and what took others off the ' +
      'list, what each would cost, which plugins would run, which limits apply, and what would be lost in translation. ' +
      'Nothing is sent, counted or charged. A request that would be refused before that is refused here with the same ' +
      'error.\n\nThe dialect is told by `messages` (chat), `input` (responses) or `prompt` (completions), or named by ' +
      '`?dialect=`, which `embeddings` needs.',
    request: 'ExplainRequest',
    response: 'Explanation',
    errors: modelErrors,
  },
  {
    method: 'GET',
    path: '/api/v1/models',
    id: 'listModels',
    tag: 'Models',
    summary: 'List the models you may use',
    response: 'ModelList',
    errors: callErrors,
  },
  {
    method: 'GET',
    path: '/api/v1/models/{id}',
    id: 'getModel',
    tag: 'Models',
    summary: 'Show a model',
    description: 'The slash of a name such as `openai/gpt-4o` may stand as it is.',
    response: 'Model',
    errors: [...callErrors, 'not_found'],
  },
  {
    method: 'GET',
    path: '/health',
    id: 'getHealth',
    tag: 'Health',
    summary: 'State of the gateway and its subsystems',
    description: 'Answers 503 with the same body while something is unhealthy.',
    response: 'Health',
    open: true,
    errors: [],
  },
  {
    method: 'GET',
    path: '/health/live',
    id: 'getLiveness',
    tag: 'Health',
    summary: 'The process runs',
    response: 'Health',
    open: true,
    errors: [],
  },
  {
    method: 'GET',
    path: '/health/ready',
    id: 'getReadiness',
    tag: 'Health',
    summary: 'The gateway takes requests',
    description: 'Answers 503 with the same body while it does not.',
    response: 'Health',
    open: true,
    errors: [],
  },
  {
    method: 'GET',
    path: '/metrics',
    id: 'getMetrics',
    tag: 'Health',
    summary: 'Metrics for Prometheus',
    description: 'Only where metrics are enabled.',
    open: true,
    errors: ['not_found'],
  },
]
