import type { ModelFacts } from '@hadrian/core/plugin'

/** The day up to which the companies' own documentation was looked at. Models that came later are not here. */
export const wellKnownAsOf = '2025-12-01'

const textOnly: ModelFacts = { inputModalities: ['text'], outputModalities: ['text'] }
const withImages: ModelFacts = { inputModalities: ['text', 'image'], outputModalities: ['text'] }
const withFiles: ModelFacts = { inputModalities: ['text', 'image', 'file'], outputModalities: ['text'] }

const limits = (contextLength: number, maxOutputTokens: number): ModelFacts => ({ contextLength, maxOutputTokens })

/** Of OpenAI's models that do not think. */
const sampled: readonly string[] = [
  'max_tokens', 'max_completion_tokens', 'temperature', 'top_p', 'stop', 'seed', 'n', 'frequency_penalty',
  'presence_penalty', 'logit_bias', 'logprobs', 'top_logprobs', 'tools', 'tool_choice', 'parallel_tool_calls',
  'response_format', 'user',
] // prettier-ignore
const structured: ModelFacts = { supportedParameters: [...sampled, 'structured_outputs', 'prediction'] }

/** Of Anthropic's models; a form of the answer is asked for by a tool where the model has no other way. */
const claude: readonly string[] = [
  'max_tokens', 'max_completion_tokens', 'temperature', 'top_p', 'top_k', 'stop', 'tools', 'tool_choice',
  'parallel_tool_calls', 'response_format', 'structured_outputs', 'user',
] // prettier-ignore
const plain: ModelFacts = { supportedParameters: claude }
const thinking: ModelFacts = { supportedParameters: [...claude, 'reasoning', 'reasoning_effort'] }

/**
 * What is public and certain about well-known models, by company and name; what is not certain is left out. There is no
 * data policy among it: what becomes of prompts depends on the operator's contract.
 */
const models: Readonly<Record<string, Readonly<Record<string, ModelFacts>>>> = {
  openai: {
    'gpt-4o': { ...limits(128_000, 16_384), ...withFiles, ...structured },
    // Older than structured outputs.
    'gpt-4o-2024-05-13': { ...limits(128_000, 4_096), ...withImages, supportedParameters: sampled },
    'gpt-4o-mini': { ...limits(128_000, 16_384), ...withFiles, ...structured },
    'chatgpt-4o-latest': { ...limits(128_000, 16_384), ...withImages },
    'gpt-4.1': { ...limits(1_047_576, 32_768), ...withFiles, ...structured },
    'gpt-4.1-mini': { ...limits(1_047_576, 32_768), ...withFiles, ...structured },
    'gpt-4.1-nano': { ...limits(1_047_576, 32_768), ...withFiles, ...structured },
    'gpt-4-turbo': { ...limits(128_000, 4_096), ...withImages, supportedParameters: sampled },
    'gpt-4': { ...limits(8_192, 8_192), ...textOnly },
    'gpt-3.5-turbo': { ...limits(16_385, 4_096), ...textOnly, supportedParameters: sampled },
    o1: { ...limits(200_000, 100_000), ...withFiles },
    o3: { ...limits(200_000, 100_000), ...withFiles },
    'o3-mini': { ...limits(200_000, 100_000), ...textOnly },
    'o4-mini': { ...limits(200_000, 100_000), ...withFiles },
    'gpt-5': { ...limits(400_000, 128_000), ...withFiles },
    'gpt-5-mini': { ...limits(400_000, 128_000), ...withFiles },
    'gpt-5-nano': { ...limits(400_000, 128_000), ...withFiles },
    'gpt-5-chat-latest': { ...limits(128_000, 16_384), ...withImages },
    'text-embedding-3-small': { contextLength: 8_192, inputModalities: ['text'], outputModalities: ['embedding'] },
    'text-embedding-3-large': { contextLength: 8_192, inputModalities: ['text'], outputModalities: ['embedding'] },
    'text-embedding-ada-002': { contextLength: 8_192, inputModalities: ['text'], outputModalities: ['embedding'] },
  },
  anthropic: {
    'claude-3-haiku': { ...limits(200_000, 4_096), supportedParameters: claude },
    'claude-3-5-haiku': { ...limits(200_000, 8_192), ...plain },
    'claude-3-5-sonnet': { ...limits(200_000, 8_192), ...withFiles, ...plain },
    'claude-3-7-sonnet': { ...limits(200_000, 64_000), ...withFiles, ...thinking },
    'claude-sonnet-4': { ...limits(200_000, 64_000), ...withFiles, ...thinking },
    'claude-sonnet-4-0': { ...limits(200_000, 64_000), ...withFiles, ...thinking },
    'claude-opus-4': { ...limits(200_000, 32_000), ...withFiles, ...thinking },
    'claude-opus-4-0': { ...limits(200_000, 32_000), ...withFiles, ...thinking },
    'claude-opus-4-1': { ...limits(200_000, 32_000), ...withFiles, ...thinking },
    'claude-sonnet-4-5': { ...limits(200_000, 64_000), ...withFiles, ...thinking },
    'claude-haiku-4-5': { ...limits(200_000, 64_000), ...withFiles, ...thinking },
    'claude-opus-4-5': { ...limits(200_000, 64_000), ...withFiles, ...thinking },
  },
}

/** The day of a release behind a name: `gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`; or the newest one. */
const release = /-(?:20\d{2}-\d{2}-\d{2}|20\d{6}|latest)$/

/** What is known of a model by its exact name, or by its name with the day of a release behind it. */
export function findWellKnown(company: string, model: string): ModelFacts | undefined {
  const known = Object.hasOwn(models, company) ? models[company]! : {}
  const id = model.toLowerCase()
  const bare = id.replace(release, '')
  return Object.hasOwn(known, id) ? known[id] : Object.hasOwn(known, bare) ? known[bare] : undefined
}
