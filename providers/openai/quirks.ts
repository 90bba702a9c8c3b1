import type { Dialect, OptionsOf, Target } from '@hadrian/core/provider'
import type { options } from './options.ts'

type Options = OptionsOf<typeof options>

/** How one upstream differs from the next: the options of the instance, with the defaults of its host. */
export interface Quirks {
  /** No slash at the end. */
  readonly baseUrl: string
  /** The upstream is OpenAI's own, at OpenAI or at Azure. */
  readonly isOpenAi: boolean
  /** APIs the upstream has, with the path of each. */
  readonly paths: Readonly<Partial<Record<Dialect, string>>>
  /** Appended to every path: empty, or a question mark and what follows it. */
  readonly query: string
  readonly extensions: ReadonlySet<string>
  readonly maxTokensField: 'max_tokens' | 'max_completion_tokens' | 'either'
  readonly includeUsage: boolean
  readonly developerRole: boolean
  readonly toolChoice: boolean
  readonly reasoningHistory: 'none' | 'as_sent' | 'reasoning' | 'reasoning_content' | 'reasoning_details'
}

const apiPaths: Readonly<Record<Dialect, string>> = {
  chat: '/chat/completions',
  responses: '/responses',
  completions: '/completions',
  embeddings: '/embeddings',
}

/** Domains of OpenAI's API and of its copies at Azure, regional hosts included. */
const openAiHosts = /(^|\.)(openai\.com|openai\.azure\.com|services\.ai\.azure\.com)$/

/** Ollama's own default port. */
const ollamaPort = '11434'

/** The base URL of an Ollama server from the value of OLLAMA_HOST, read as Ollama's own client does. */
function ollamaBaseUrl(host: string): string {
  const hasScheme = /^https?:\/\//i.test(host)
  const url = new URL(hasScheme ? host : `http://${host}`)
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1'
  if (url.port === '' && !hasScheme) url.port = ollamaPort
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}/v1`
}

export function quirksOf(options: Options): Quirks {
  const base = options.ollama_host === undefined ? options.base_url : ollamaBaseUrl(options.ollama_host)
  const baseUrl = base.replace(/\/+$/, '')
  const isOpenAi = openAiHosts.test(new URL(baseUrl).hostname)
  const search = new URLSearchParams(options.query).toString()
  const query = search === '' ? '' : `?${search}`
  const dialects: readonly Dialect[] =
    options.dialects ??
    (isOpenAi ? ['chat', 'responses', 'completions', 'embeddings'] : ['chat', 'completions', 'embeddings'])
  return {
    baseUrl,
    isOpenAi,
    paths: Object.fromEntries(dialects.map((dialect) => [dialect, `${apiPaths[dialect]}${query}`])),
    query,
    extensions: new Set(options.extensions),
    maxTokensField: options.max_tokens_field ?? (isOpenAi ? 'either' : 'max_tokens'),
    includeUsage: options.include_usage,
    developerRole: options.developer_role ?? isOpenAi,
    toolChoice: options.tool_choice,
    reasoningHistory: options.reasoning_history ?? (isOpenAi ? 'none' : 'as_sent'),
  }
}

/** Models of OpenAI that think: the o series and from gpt-5 on, but for the chat variants. */
const reasoningModels = /^(o\d|gpt-([5-9]|\d\d)|codex)/
const chatVariants = /^gpt-[\d.]+-chat/

/** True if the model takes `reasoning_effort`, as far as its name and the catalog tell. */
export function isReasoningModel(target: Target, quirks: Pick<Quirks, 'isOpenAi'>): boolean {
  const parameters = target.info?.supportedParameters
  if (parameters) return parameters.includes('reasoning') || parameters.includes('reasoning_effort')
  if (!quirks.isOpenAi) return true
  const name = target.model.replace(/^ft:/, '')
  return reasoningModels.test(name) && !chatVariants.test(name)
}

/** The name of the output limit on this target; `written` is what the client called it. */
export function maxTokensField(written: string | undefined, target: Target, quirks: Quirks): string {
  if (quirks.maxTokensField !== 'either') return quirks.maxTokensField
  if (quirks.isOpenAi && isReasoningModel(target, quirks)) return 'max_completion_tokens'
  return written ?? 'max_completion_tokens'
}
