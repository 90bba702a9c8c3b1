import type { JsonObject } from '@hadrian/core/provider'

interface KnownUpstream {
  readonly instance: string
  readonly environment: Readonly<Record<string, string>>
  readonly options?: JsonObject
}

const keyed = (instance: string, variable: string, options: JsonObject): KnownUpstream => ({
  instance,
  environment: { [variable]: 'api_key' },
  options,
})

/**
 * Upstreams that an environment variable makes known: base URLs and peculiarities as their own API references give them.
 */
export const defaults: readonly KnownUpstream[] = [
  { instance: 'openai', environment: { OPENAI_API_KEY: 'api_key' } },
  keyed('openrouter', 'OPENROUTER_API_KEY', {
    base_url: 'https://openrouter.ai/api/v1',
    dialects: ['chat', 'completions', 'embeddings'],
    extensions: [
      'top_k',
      'min_p',
      'top_a',
      'repetition_penalty',
      'reasoning',
      'include_reasoning',
      'cache_control',
      'transforms',
    ],
    max_tokens_field: 'either',
    developer_role: true,
    reasoning_history: 'reasoning_details',
  }),
  keyed('groq', 'GROQ_API_KEY', {
    base_url: 'https://api.groq.com/openai/v1',
    dialects: ['chat', 'responses'],
    max_tokens_field: 'either',
    reasoning_history: 'reasoning',
    choices: false,
  }),
  keyed('deepseek', 'DEEPSEEK_API_KEY', {
    base_url: 'https://api.deepseek.com/v1',
    dialects: ['chat'],
    reasoning_history: 'reasoning_content',
  }),
  keyed('mistral', 'MISTRAL_API_KEY', {
    base_url: 'https://api.mistral.ai/v1',
    dialects: ['chat', 'embeddings'],
    reasoning_history: 'none',
  }),
  keyed('together', 'TOGETHER_API_KEY', {
    base_url: 'https://api.together.xyz/v1',
    extensions: ['top_k', 'min_p', 'repetition_penalty'],
  }),
  keyed('xai', 'XAI_API_KEY', {
    base_url: 'https://api.x.ai/v1',
    dialects: ['chat', 'responses'],
    max_tokens_field: 'either',
    reasoning_history: 'reasoning_content',
  }),
  keyed('fireworks', 'FIREWORKS_API_KEY', {
    base_url: 'https://api.fireworks.ai/inference/v1',
    extensions: ['top_k', 'min_p', 'repetition_penalty'],
    reasoning_history: 'reasoning_content',
  }),
  keyed('cerebras', 'CEREBRAS_API_KEY', {
    base_url: 'https://api.cerebras.ai/v1',
    dialects: ['chat', 'completions'],
    max_tokens_field: 'max_completion_tokens',
    reasoning_history: 'reasoning',
  }),
  {
    instance: 'ollama',
    environment: { OLLAMA_HOST: 'ollama_host' },
    options: { reasoning_history: 'reasoning', tool_choice: false, choices: false },
  },
]
