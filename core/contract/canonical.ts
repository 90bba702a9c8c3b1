/**
 * The canonical form: what a request and an answer look like between the client's wire format and the provider's.
 * Names are those of Chat Completions in camelCase; the content of a message is an ordered list of parts, so that the
 * order of text, reasoning and tool calls is never lost.
 */

/** What a client asks for. `generate` is served in the dialects `chat` and `responses`; the others have one each. */
export type Operation = 'generate' | 'completions' | 'embeddings'

/** A wire format of clients or upstreams that has a codec in the kernel. Providers may speak others of their own. */
export type Dialect = 'chat' | 'responses' | 'completions' | 'embeddings'

/** Who speaks. `developer` is OpenAI's newer word for `system`; it is kept as the client wrote it. */
export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool'

/** A JSON object of somebody else's making. */
export type JsonObject = Readonly<Record<string, unknown>>

/** What every part may carry besides its own fields. */
interface PartFields {
  /** Anthropic's prompt-cache mark, kept on the part that carried it. Providers without one drop it silently: it is a hint. */
  readonly cacheControl?: JsonObject
  /** Fields of the wire form that the canonical one has no name for. Only a codec of `GenerateRequest.dialect` reads them. */
  readonly extra?: JsonObject
}

/** Text that somebody wrote or that the model answers with. */
export interface TextPart extends PartFields {
  readonly type: 'text'
  readonly text: string
  /** The text is the model's refusal to answer. */
  readonly refusal?: boolean
}

/** The wire family a reasoning signature or encrypted block belongs to; it means nothing to any other. */
export type ReasoningFormat =
  | 'anthropic-claude-v1'
  | 'openai-responses-v1'
  | 'google-gemini-v1'
  | 'unknown'
  | (string & {})

/**
 * One block of the model's thinking. At least one of text, summary, signature and encrypted is there. Parts that follow
 * each other with the same `id` were one item upstream.
 */
export interface ReasoningPart extends PartFields {
  readonly type: 'reasoning'
  readonly text?: string
  readonly summary?: string
  /** Proves to the provider that the text is its own; must travel back unchanged. */
  readonly signature?: string
  /** Thinking that only the provider can read; must travel back unchanged. */
  readonly encrypted?: string
  readonly id?: string
  readonly format?: ReasoningFormat
}

/** An image, audio clip, video or file: exactly one of `url`, `data` and `fileId` says where its bytes are. */
export interface MediaPart extends PartFields {
  readonly type: 'media'
  readonly kind: 'image' | 'audio' | 'video' | 'file'
  /** IANA media type, `image/png`; unknown for most URLs. */
  readonly mediaType?: string
  /** http or https. Data URLs are taken apart into `mediaType` and `data`. */
  readonly url?: string
  /** Base64 without line breaks. */
  readonly data?: string
  /** The provider's id of a file that was uploaded before. */
  readonly fileId?: string
  readonly filename?: string
  readonly detail?: string
}

/** The model's wish to have a tool called. */
export interface ToolCallPart extends PartFields {
  readonly type: 'tool_call'
  /** Chosen by the model's provider; the tool result refers to it. */
  readonly id: string
  readonly name: string
  /** JSON text for functions, free text for custom tools. Never parsed by the kernel: models do write invalid JSON. */
  readonly arguments: string
  /** A call of a custom (free text) tool. */
  readonly custom?: boolean
}

/** What the tool of an earlier {@link ToolCallPart} gave. */
export interface ToolResultPart extends PartFields {
  readonly type: 'tool_result'
  readonly toolCallId: string
  readonly content: readonly Part[]
  readonly isError?: boolean
  /** The result of a custom (free text) tool. */
  readonly custom?: boolean
}

/** Something only one dialect has a word for. Passed through untouched where the upstream speaks it, else dropped with a warning. */
export interface NativePart extends PartFields {
  readonly type: 'native'
  /** The dialect, or the name of a provider's own wire format. */
  readonly dialect: string
  readonly value: JsonObject
}

/** One piece of a message's content. */
export type Part = TextPart | ReasoningPart | MediaPart | ToolCallPart | ToolResultPart | NativePart

/** One message of the conversation. */
export interface Message {
  readonly role: Role
  readonly content: readonly Part[]
  /** The participant's name, where the client gave one. */
  readonly name?: string
  /** Fields of the wire form without a canonical name, only for a codec of `GenerateRequest.dialect`. */
  readonly extra?: JsonObject
  /** How the client wrote the message (a string or a list, null or absent), so that its own dialect writes it back alike. */
  readonly form?: string
}

/** A tool the model may call. Tools that are not functions (hosted, custom) keep their wire form in `native`. */
export type Tool =
  | {
      readonly type: 'function'
      readonly name: string
      readonly description?: string
      /** JSON Schema of the arguments. */
      readonly parameters?: JsonObject
      readonly strict?: boolean | null
      readonly cacheControl?: JsonObject
      readonly extra?: JsonObject
    }
  | { readonly type: 'native'; readonly dialect: string; readonly value: JsonObject }

/** Whether and what the model must call. */
export type ToolChoice =
  | 'auto'
  | 'none'
  | 'required'
  /** This function and no other. */
  | { readonly name: string; readonly custom?: boolean }
  /** Some of the tools; all stay visible to the model. */
  | { readonly allowed: readonly JsonObject[]; readonly mode: 'auto' | 'required' }
  | { readonly native: JsonObject }

/** The form the answer must have. */
export type ResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema'
      readonly name: string
      readonly schema?: JsonObject
      readonly description?: string
      readonly strict?: boolean | null
    }
  | { readonly type: 'native'; readonly value: JsonObject }

/** How hard the model should think, least first; a provider maps what its model does not know to the nearest. */
export type ReasoningEffort = 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max'

/** How much the model should think. At most one of `effort` and `maxTokens`. */
export interface ReasoningRequest {
  readonly effort?: ReasoningEffort
  /** Thinking budget in tokens. */
  readonly maxTokens?: number
  /** Think, but do not return it. */
  readonly exclude?: boolean
  readonly enabled?: boolean
  readonly summary?: string
  readonly extra?: JsonObject
}

/** A web search that the upstream is to make by itself, with the search of its own. */
export interface WebSearchRequest {
  /** Searches at most. */
  readonly maxUses?: number
  /** Hosts (`example.com`, with its subdomains), `*.example.com` or `example.com/path`; only these are searched. */
  readonly includeDomains?: readonly string[]
  readonly excludeDomains?: readonly string[]
  /** `{type: "approximate", city?, region?, country?, timezone?}` */
  readonly userLocation?: JsonObject
}

/** One entry of the `plugins` extension. */
export interface PluginEntry {
  readonly id: string
  readonly enabled?: boolean
  readonly [param: string]: unknown
}

/**
 * A request in canonical form. An absent field was absent (or null) in the client's body: nothing is ever filled in with
 * a default. For `completions` and `embeddings` there are no messages: the body's own fields stand in `extra`.
 */
export interface GenerateRequest {
  readonly operation: Operation
  /** The dialect of the client; owner of every `extra` and `form` below. */
  readonly dialect: Dialect
  /** As the client wrote it; a target's encoder uses `target.model` instead. */
  readonly model?: string
  readonly models?: readonly string[]
  /**
   * Messages in order. Consecutive assistant messages may belong to one turn (the Responses API has an item for each
   * block); `turns()` of the provider contract joins them.
   */
  readonly messages: readonly Message[]
  readonly tools?: readonly Tool[]
  readonly toolChoice?: ToolChoice
  readonly parallelToolCalls?: boolean
  readonly stream: boolean
  /** The client asked for a usage record at the end of a chat stream. */
  readonly includeUsage?: boolean
  readonly maxOutputTokens?: number
  readonly temperature?: number
  readonly topP?: number
  readonly topK?: number
  readonly minP?: number
  readonly frequencyPenalty?: number
  readonly presencePenalty?: number
  readonly seed?: number
  readonly stop?: readonly string[]
  /** How many choices to generate. */
  readonly n?: number
  readonly logprobs?: boolean
  readonly topLogprobs?: number
  readonly logitBias?: JsonObject
  readonly responseFormat?: ResponseFormat
  readonly verbosity?: string
  readonly reasoning?: ReasoningRequest
  readonly user?: string
  readonly safetyIdentifier?: string
  readonly promptCacheKey?: string
  readonly serviceTier?: string
  readonly metadata?: JsonObject
  readonly store?: boolean
  readonly provider?: JsonObject
  readonly plugins?: readonly PluginEntry[]
  /** Set by a plugin, and only for targets whose provider says that it has `webSearch`. */
  readonly webSearch?: WebSearchRequest
  /** Top-level fields without a canonical name; sent on to upstreams that speak `dialect`. */
  readonly extra: JsonObject
  /** How the client spelled fields that have more than one spelling, as words; only for a codec of `dialect`. */
  readonly form?: string
}

/**
 * Tokens and money of one call. `inputTokens` includes cache reads and cache writes, `outputTokens` includes reasoning,
 * whatever the provider's own habit: its decoder adds them up.
 */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  /** Part of `inputTokens` that was read from the provider's prompt cache. */
  readonly cachedInputTokens?: number
  /** Part of `inputTokens` that was written to the provider's prompt cache. */
  readonly cacheWriteTokens?: number
  /** Part of `cacheWriteTokens` that was written for an hour. */
  readonly cacheWrite1hTokens?: number
  /** Part of `outputTokens`. */
  readonly reasoningTokens?: number
  readonly audioInputTokens?: number
  readonly audioOutputTokens?: number
  /** Images of the request. Set by the kernel. */
  readonly images?: number
  /** Web searches, those of the upstream and those that a plugin bought as `web_search`. */
  readonly webSearches?: number
  /** What the provider itself says the call cost, in micro-dollars. */
  readonly reportedCostMicros?: number
  /** The price by the gateway's catalog, in micro-dollars; absent while no price is known. Set by the kernel. */
  readonly costMicros?: number
  /** Counted by the gateway, because the provider sent no count. Set by the kernel. */
  readonly estimated?: boolean
  /** The provider's own usage object, for its own dialect. */
  readonly native?: JsonObject
}

export * from './events.ts'
