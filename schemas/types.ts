/** Generated from the JSON Schemas of this folder by `schemas/generate.ts`. Do not edit. */

/**
 * `provider/model`, a name of the catalog, or a bare name that goes to the default provider. The suffixes `:nitro` (fastest first), `:floor` (cheapest first), `:exacto` (best with tools first) and `:online` (web search) may follow.
 */
export type ModelName = string | null
/**
 * Models to try in this order, after `model` if that is given too. Any failure before the first byte moves on to the next; `model` in the answer names the one that answered.
 *
 * @maxItems 100
 */
export type FallbackModels = string[] | null
export type ProviderSort = 'price' | 'throughput' | 'latency' | 'exacto'
/**
 * US dollars, as a number or as a decimal string.
 */
export type Price = number | string | null
/**
 * Plugins to run for this request, with their options. An unknown id or bad options are an error that lists the ids there are.
 *
 * @maxItems 100
 */
export type PluginEntries = RequestPlugin[] | null
/**
 * Deprecated: `fallback` is `provider.sort.partition: "model"`, `sort` is `"none"`.
 */
export type RouteMode = 'fallback' | 'sort' | null
/**
 * Deprecated: `["middle-out"]` names the plugin `context-compression` in `plugins`, `[]` switches it off.
 *
 * @maxItems 10
 */
export type Transforms = 'middle-out'[] | null
/**
 * Sample from the k likeliest tokens only; 0 switches it off. Sent wherever the upstream has it, else reported as a warning.
 */
export type TopK = number | null
/**
 * Marks the end of a prompt prefix that the provider should cache; kept for providers that have such marks.
 */
export type CacheControl = {
  type?: string
  ttl?: string | null
  [k: string]: unknown
} | null
/**
 * One message; its role decides what it may carry.
 */
export type ChatMessage =
  | ChatUserMessage
  | ChatAssistantMessage
  | ChatToolMessage
  | ChatSystemMessage
  | ChatDeveloperMessage
  | ChatFunctionMessage
/**
 * Text, or a list of parts.
 */
export type ChatContent = string | ChatContentPart[]
/**
 * A part of a message. Parts of a type that is not listed are kept and sent on.
 */
export type ChatContentPart =
  | ChatTextPart
  | ChatImagePart
  | ChatAudioPart
  | ChatVideoPart
  | ChatFilePart
  | ChatRefusalPart
  | UnknownTypedObject
/**
 * A call the model made.
 */
export type ChatToolCall = ChatFunctionCall | ChatCustomCall | UnknownTypedObject
export type ChatResponseFormat = TextFormat | JsonObjectFormat | ChatJsonSchemaFormat | UnknownTypedObject
/**
 * A tool the model may call.
 */
export type ChatTool = ChatFunctionTool | ChatCustomTool | UnknownTypedObject
export type ChatToolChoice = ChatFunctionChoice | ChatCustomChoice | ChatAllowedTools | UnknownTypedObject
/**
 * Options for `stream: true`.
 */
export type ChatStreamOptions = {
  /**
   * Send a last chunk with the usage of the whole request.
   */
  include_usage?: boolean | null
  include_obfuscation?: boolean | null
  [k: string]: unknown
} | null
/**
 * One item of the input. Items of a type that is not listed are kept and sent on.
 */
export type ResponseInputItem =
  | ResponseInputMessage
  | ResponseFunctionCall
  | ResponseFunctionCallOutput
  | ResponseReasoningItem
  | ResponseCustomToolCall
  | ResponseCustomToolCallOutput
  | ResponseItemReference
  | UnknownTypedObject
/**
 * A part of a message. Parts of a type that is not listed are kept and sent on.
 */
export type ResponseContentPart =
  | ResponseInputText
  | ResponseInputImage
  | ResponseInputFile
  | ResponseOutputText
  | ChatRefusalPart
  | UnknownTypedObject
export type ResponseTextFormat = TextFormat | JsonObjectFormat | ResponseJsonSchemaFormat | UnknownTypedObject
/**
 * A tool the model may call. Built-in tools of the upstream are kept and sent on.
 */
export type ResponseTool = ResponseFunctionTool | ResponseCustomTool | UnknownTypedObject
export type ResponseToolChoice = ResponseFunctionChoice | ResponseAllowedTools | UnknownTypedObject
/**
 * What the request cost, in US dollars.
 */
export type Cost = number | null
/**
 * What the cost is made of, in US dollars.
 */
export type CostDetails = {
  [k: string]: unknown
} | null
/**
 * The client's own provider key was used.
 */
export type IsByok = boolean
/**
 * Why the model stopped. Never anything else, whatever the provider calls it.
 */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'function_call' | null
/**
 * One item of the output.
 */
export type ResponseOutputItem =
  | ResponseOutputMessage
  | ResponseFunctionCall
  | ResponseReasoningItem
  | ResponseCustomToolCall
  | UnknownTypedObject

/**
 * Every type of this file by its name.
 */
export interface SchemaTypes {
  Extensions: Extensions
  ModelName: ModelName
  FallbackModels: FallbackModels
  TopK: TopK
  ProviderPreferences: ProviderPreferences
  ProviderSort: ProviderSort
  Price: Price
  Percentiles: Percentiles
  RouteMode: RouteMode
  Transforms: Transforms
  PluginEntries: PluginEntries
  RequestPlugin: RequestPlugin
  ReasoningOptions: ReasoningOptions
  CacheControl: CacheControl
  UnknownTypedObject: UnknownTypedObject
  HadrianMetadata: HadrianMetadata
  ChatCompletionRequest: ChatCompletionRequest
  ChatMessage: ChatMessage
  ChatSystemMessage: ChatSystemMessage
  ChatDeveloperMessage: ChatDeveloperMessage
  ChatUserMessage: ChatUserMessage
  ChatAssistantMessage: ChatAssistantMessage
  ChatToolMessage: ChatToolMessage
  ChatFunctionMessage: ChatFunctionMessage
  ChatContent: ChatContent
  ChatContentPart: ChatContentPart
  ChatTextPart: ChatTextPart
  ChatImagePart: ChatImagePart
  ChatAudioPart: ChatAudioPart
  ChatVideoPart: ChatVideoPart
  ChatFilePart: ChatFilePart
  ChatRefusalPart: ChatRefusalPart
  ChatToolCall: ChatToolCall
  ChatFunctionCall: ChatFunctionCall
  ChatCustomCall: ChatCustomCall
  ChatTool: ChatTool
  ChatFunctionTool: ChatFunctionTool
  ChatCustomTool: ChatCustomTool
  FunctionDefinition: FunctionDefinition
  ChatToolChoice: ChatToolChoice
  ChatFunctionChoice: ChatFunctionChoice
  ChatCustomChoice: ChatCustomChoice
  ChatAllowedTools: ChatAllowedTools
  ChatResponseFormat: ChatResponseFormat
  TextFormat: TextFormat
  JsonObjectFormat: JsonObjectFormat
  ChatJsonSchemaFormat: ChatJsonSchemaFormat
  ChatStreamOptions: ChatStreamOptions
  ResponseRequest: ResponseRequest
  ResponseInputItem: ResponseInputItem
  ResponseInputMessage: ResponseInputMessage
  ResponseContentPart: ResponseContentPart
  ResponseInputText: ResponseInputText
  ResponseInputImage: ResponseInputImage
  ResponseInputFile: ResponseInputFile
  ResponseOutputText: ResponseOutputText
  ResponseFunctionCall: ResponseFunctionCall
  ResponseFunctionCallOutput: ResponseFunctionCallOutput
  ResponseReasoningItem: ResponseReasoningItem
  ResponseCustomToolCall: ResponseCustomToolCall
  ResponseCustomToolCallOutput: ResponseCustomToolCallOutput
  ResponseItemReference: ResponseItemReference
  ResponseTextFormat: ResponseTextFormat
  ResponseJsonSchemaFormat: ResponseJsonSchemaFormat
  ResponseTool: ResponseTool
  ResponseFunctionTool: ResponseFunctionTool
  ResponseCustomTool: ResponseCustomTool
  ResponseToolChoice: ResponseToolChoice
  ResponseFunctionChoice: ResponseFunctionChoice
  ResponseAllowedTools: ResponseAllowedTools
  CompletionRequest: CompletionRequest
  EmbeddingRequest: EmbeddingRequest
  ChatUsage: ChatUsage
  ResponseUsage: ResponseUsage
  ServerToolUse: ServerToolUse
  Cost: Cost
  CostDetails: CostDetails
  IsByok: IsByok
  ChatCompletion: ChatCompletion
  ChatChoice: ChatChoice
  FinishReason: FinishReason
  ChatCompletionMessage: ChatCompletionMessage
  ChatCompletionChunk: ChatCompletionChunk
  ChatDelta: ChatDelta
  Response: Response
  ResponseOutputItem: ResponseOutputItem
  ResponseOutputMessage: ResponseOutputMessage
  ResponseStreamEvent: ResponseStreamEvent
  Completion: Completion
  EmbeddingList: EmbeddingList
  ModelList: ModelList
  Model: Model
  ModelTarget: ModelTarget
  ModelPricing: ModelPricing
  ExplainRequest: ExplainRequest
  Explanation: Explanation
  TargetEstimate: TargetEstimate
  ExplainedWarning: ExplainedWarning
  Health: Health
  ErrorResponse: ErrorResponse
  ErrorObject: ErrorObject
  PackageField: PackageField
}
/**
 * What Hadrian adds to OpenAI's request bodies. The same fields work on chat completions and on responses.
 */
export interface Extensions {
  model?: ModelName
  models?: FallbackModels
  provider?: ProviderPreferences | null
  plugins?: PluginEntries
  route?: RouteMode
  transforms?: Transforms
  reasoning?: ReasoningOptions | null
  top_k?: TopK
  [k: string]: unknown
}
/**
 * Which providers may serve the request, and in which order. Each key is applied, or reported as not applicable; a key that is not listed here is an error.
 */
export interface ProviderPreferences {
  /**
   * Providers to try first, in this order; the others follow unless `allow_fallbacks` is false.
   *
   * @maxItems 100
   */
  order?: string[] | null
  /**
   * Nothing but these providers.
   *
   * @maxItems 100
   */
  only?: string[] | null
  /**
   * None of these providers.
   *
   * @maxItems 100
   */
  ignore?: string[] | null
  /**
   * False: only the first provider, or those in `order`, may serve. Default true.
   */
  allow_fallbacks?: boolean | null
  /**
   * True: only targets that support every parameter of the request. Default false.
   */
  require_parameters?: boolean | null
  /**
   * `deny` leaves out providers that store prompts or train on them. Default `allow`.
   */
  data_collection?: 'allow' | 'deny' | null
  /**
   * True: only targets with zero data retention. A request can only tighten what the operator set.
   */
  zdr?: boolean | null
  /**
   * True: only models whose author allows distillation.
   */
  enforce_distillable_text?: boolean | null
  /**
   * Only targets with one of these quantizations.
   *
   * @maxItems 100
   */
  quantizations?:
    | ('int4' | 'int8' | 'fp4' | 'mxfp4' | 'nvfp4' | 'fp6' | 'fp8' | 'mxfp8' | 'fp16' | 'bf16' | 'fp32' | 'unknown')[]
    | null
  /**
   * Try targets strictly in this order instead of balancing load. Ignored when `order` is given.
   */
  sort?:
    | ProviderSort
    | {
        by?: ProviderSort | null
        /**
         * `model`: every target of the first model before the second. `none`: the targets of all models in one list. Default `model`.
         */
        partition?: 'model' | 'none' | null
      }
    | null
  /**
   * Only targets that cost no more: US dollars per million tokens (`prompt`, `completion`), or per `request`, `image`, `audio` unit.
   */
  max_price?: {
    prompt?: Price
    completion?: Price
    request?: Price
    image?: Price
    audio?: Price
  } | null
  /**
   * Targets below this many tokens per second (the median, or per percentile) go to the end of the list.
   */
  preferred_min_throughput?: number | Percentiles | null
  /**
   * Targets whose first token takes more seconds than this (the median, or per percentile) go to the end of the list.
   */
  preferred_max_latency?: number | Percentiles | null
}
/**
 * A threshold for each of several percentiles; all of them must hold.
 */
export interface Percentiles {
  p50?: number | null
  p75?: number | null
  p90?: number | null
  p99?: number | null
}
/**
 * One plugin; all keys but `id` and `enabled` are options of that plugin.
 */
export interface RequestPlugin {
  /**
   * The plugin's id.
   */
  id: string
  /**
   * False switches the plugin off for this request, where the operator allows it. Default true.
   */
  enabled?: boolean | null
  [k: string]: unknown
}
/**
 * How much the model thinks before it answers: an effort or a token budget, translated for each provider.
 */
export interface ReasoningOptions {
  /**
   * `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`; a level that a model does not have becomes the nearest it has. Not together with `max_tokens`.
   */
  effort?: string | null
  /**
   * Token budget for thinking. Not together with `effort`.
   */
  max_tokens?: number | null
  /**
   * True: the model thinks, but the answer leaves the thoughts out. Default false.
   */
  exclude?: boolean | null
  /**
   * True alone means medium effort; false switches thinking off where the model can do without.
   */
  enabled?: boolean | null
  /**
   * Summary of the thoughts: `auto`, `concise` or `detailed`.
   */
  summary?: string | null
  /**
   * Deprecated name of `summary`.
   */
  generate_summary?: string | null
  /**
   * Which earlier thoughts the newest models see: `auto`, `all_turns` or `current_turn`.
   */
  context?: string | null
  /**
   * `standard` or `pro`.
   */
  mode?: string | null
  [k: string]: unknown
}
/**
 * Something this gateway has no name for; kept and sent on.
 */
export interface UnknownTypedObject {
  type: string
  [k: string]: unknown
}
/**
 * How the request was served: targets and what removed the others, attempts, plugins that ran, warnings, timings. Only with the request header `X-Hadrian-Metadata: enabled`.
 */
export interface HadrianMetadata {
  [k: string]: unknown
}
/**
 * Body of `POST /api/v1/chat/completions`. Null means absent for every optional field; fields that are not listed are kept and sent on.
 */
export interface ChatCompletionRequest {
  /**
   * The conversation so far.
   *
   * @minItems 1
   */
  messages: ChatMessage[]
  model?: ModelName
  models?: FallbackModels
  provider?: ProviderPreferences | null
  plugins?: PluginEntries
  route?: RouteMode
  transforms?: Transforms
  reasoning?: ReasoningOptions | null
  /**
   * Short for `reasoning.effort`; an error if the two differ.
   */
  reasoning_effort?: string | null
  /**
   * Older form: true is `reasoning: {}`, false is `reasoning: {"exclude": true}`.
   */
  include_reasoning?: boolean | null
  /**
   * Sampling temperature: higher is more random.
   */
  temperature?: number | null
  /**
   * Nucleus sampling: only the likeliest tokens that together have this probability.
   */
  top_p?: number | null
  top_k?: TopK
  /**
   * Only tokens at least this likely in relation to the likeliest one.
   */
  min_p?: number | null
  /**
   * Like `min_p`, in relation to the square of the highest probability.
   */
  top_a?: number | null
  /**
   * Penalty on tokens of the input, for upstreams that have it.
   */
  repetition_penalty?: number | null
  /**
   * Penalize tokens the more often they appeared.
   */
  frequency_penalty?: number | null
  /**
   * Penalize tokens that appeared at all.
   */
  presence_penalty?: number | null
  /**
   * Ceiling for the output in tokens, thoughts included.
   */
  max_completion_tokens?: number | null
  /**
   * Older name of `max_completion_tokens`, which wins if both are given.
   */
  max_tokens?: number | null
  /**
   * How many choices to generate.
   */
  n?: number | null
  /**
   * Best-effort determinism.
   */
  seed?: number | null
  /**
   * Up to four sequences at which the output ends.
   *
   * @maxItems 4
   */
  stop?: string | string[] | null
  /**
   * Token id to bias, -100 to 100.
   */
  logit_bias?: {
    [k: string]: number
  } | null
  /**
   * Return log probabilities of the output tokens.
   */
  logprobs?: boolean | null
  /**
   * How many alternatives to return at each position; needs `logprobs`.
   */
  top_logprobs?: number | null
  /**
   * The form of the answer.
   */
  response_format?: ChatResponseFormat | null
  /**
   * Tools the model may call.
   */
  tools?: ChatTool[] | null
  /**
   * `none`, `auto`, `required`, or one tool by name.
   */
  tool_choice?: ('none' | 'auto' | 'required') | ChatToolChoice | null
  /**
   * Whether the model may call several tools in one turn.
   */
  parallel_tool_calls?: boolean | null
  /**
   * Older form of `tools`.
   */
  functions?: FunctionDefinition[] | null
  /**
   * Older form of `tool_choice`.
   */
  function_call?:
    | ('none' | 'auto')
    | {
        name: string
        [k: string]: unknown
      }
    | null
  /**
   * Send the answer as server-sent events while it is made.
   */
  stream?: boolean | null
  stream_options?: ChatStreamOptions
  /**
   * Kinds of output wanted: `text`, `audio`, `image`.
   */
  modalities?: string[] | null
  /**
   * Voice and format of audio output.
   */
  audio?: {
    format?: string
    [k: string]: unknown
  } | null
  /**
   * Text that much of the answer is known to repeat.
   */
  prediction?: {
    type?: string
    content?: string | unknown[]
    [k: string]: unknown
  } | null
  /**
   * Options of the upstream's own web search.
   */
  web_search_options?: {
    [k: string]: unknown
  } | null
  /**
   * `low`, `medium` or `high`.
   */
  verbosity?: string | null
  /**
   * `auto`, `default`, `flex`, `priority`, or another tier that the upstream has.
   */
  service_tier?: string | null
  /**
   * Keep the completion for later retrieval upstream.
   */
  store?: boolean | null
  /**
   * Key-value pairs of the client's own.
   */
  metadata?: {
    [k: string]: unknown
  } | null
  /**
   * The end user, for abuse detection.
   */
  user?: string | null
  /**
   * A stable, anonymous identifier of the end user.
   */
  safety_identifier?: string | null
  /**
   * Requests with the same key are likelier to find a cached prompt.
   */
  prompt_cache_key?: string | null
  /**
   * How long the upstream keeps a cached prompt.
   */
  prompt_cache_retention?: string | null
  cache_control?: CacheControl
  [k: string]: unknown
}
/**
 * What the user says.
 */
export interface ChatUserMessage {
  role: 'user'
  content: ChatContent
  name?: string | null
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ChatTextPart {
  type: 'text'
  text: string
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ChatImagePart {
  type: 'image_url'
  /**
   * The image; some upstreams take the URL alone.
   */
  image_url:
    | string
    | {
        /**
         * `https:` or `data:`; fetched only where the provider needs bytes.
         */
        url: string
        /**
         * `auto`, `low` or `high`.
         */
        detail?: string | null
        [k: string]: unknown
      }
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ChatAudioPart {
  type: 'input_audio'
  input_audio: {
    /**
     * Base64.
     */
    data: string
    /**
     * `wav`, `mp3`, or what else the model takes.
     */
    format?: string | null
    [k: string]: unknown
  }
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ChatVideoPart {
  type: 'video_url'
  video_url: {
    url: string
    [k: string]: unknown
  }
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ChatFilePart {
  type: 'file'
  file: {
    filename?: string | null
    /**
     * A `data:` URL, base64, or an `https:` URL.
     */
    file_data?: string | null
    file_id?: string | null
    [k: string]: unknown
  }
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ChatRefusalPart {
  type: 'refusal'
  refusal: string
  cache_control?: CacheControl
  [k: string]: unknown
}
/**
 * An earlier answer of the model. Send `reasoning_details` back as they came, so that thinking goes on over tool calls.
 */
export interface ChatAssistantMessage {
  role: 'assistant'
  /**
   * Text, or a list of parts; may be absent where there are tool calls.
   */
  content?: string | ChatContentPart[] | null
  name?: string | null
  refusal?: string | null
  tool_calls?: ChatToolCall[] | null
  /**
   * Older form of `tool_calls`.
   */
  function_call?: {
    name: string
    arguments: string
    [k: string]: unknown
  } | null
  /**
   * The thoughts as text.
   */
  reasoning?: string | null
  /**
   * Another name of `reasoning`.
   */
  reasoning_content?: string | null
  /**
   * The thoughts as they came, with signatures.
   */
  reasoning_details?:
    | {
        [k: string]: unknown
      }[]
    | null
  annotations?:
    | {
        [k: string]: unknown
      }[]
    | null
  audio?: {
    [k: string]: unknown
  } | null
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ChatFunctionCall {
  id: string
  type?: 'function'
  function: {
    name: string
    /**
     * JSON, as the model wrote it.
     */
    arguments: string
    [k: string]: unknown
  }
  [k: string]: unknown
}
export interface ChatCustomCall {
  id: string
  type: 'custom'
  custom: {
    name: string
    input: string
    [k: string]: unknown
  }
  [k: string]: unknown
}
/**
 * The result of a tool call.
 */
export interface ChatToolMessage {
  role: 'tool'
  content: ChatContent
  /**
   * The `id` of the call.
   */
  tool_call_id: string
  name?: string | null
  cache_control?: CacheControl
  [k: string]: unknown
}
/**
 * Instructions above those of the user.
 */
export interface ChatSystemMessage {
  role: 'system'
  content: ChatContent
  name?: string | null
  cache_control?: CacheControl
  [k: string]: unknown
}
/**
 * What `system` is called for newer models.
 */
export interface ChatDeveloperMessage {
  role: 'developer'
  content: ChatContent
  name?: string | null
  cache_control?: CacheControl
  [k: string]: unknown
}
/**
 * Older form of a tool result.
 */
export interface ChatFunctionMessage {
  role: 'function'
  name: string
  content?: string | null
  [k: string]: unknown
}
/**
 * Plain text.
 */
export interface TextFormat {
  type: 'text'
  [k: string]: unknown
}
/**
 * Any JSON object.
 */
export interface JsonObjectFormat {
  type: 'json_object'
  [k: string]: unknown
}
/**
 * JSON that follows a schema.
 */
export interface ChatJsonSchemaFormat {
  type: 'json_schema'
  json_schema: {
    name: string
    description?: string | null
    schema?: {
      [k: string]: unknown
    } | null
    strict?: boolean | null
    [k: string]: unknown
  }
  [k: string]: unknown
}
export interface ChatFunctionTool {
  type: 'function'
  function: FunctionDefinition
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface FunctionDefinition {
  name: string
  description?: string | null
  /**
   * JSON Schema of the arguments.
   */
  parameters?: {
    [k: string]: unknown
  } | null
  /**
   * The arguments must follow the schema exactly.
   */
  strict?: boolean | null
  [k: string]: unknown
}
export interface ChatCustomTool {
  type: 'custom'
  custom: {
    name: string
    description?: string | null
    format?: {
      [k: string]: unknown
    } | null
    [k: string]: unknown
  }
  [k: string]: unknown
}
export interface ChatFunctionChoice {
  type: 'function'
  function: {
    name: string
    [k: string]: unknown
  }
  [k: string]: unknown
}
export interface ChatCustomChoice {
  type: 'custom'
  custom: {
    name: string
    [k: string]: unknown
  }
  [k: string]: unknown
}
/**
 * Only some of the tools may be called.
 */
export interface ChatAllowedTools {
  type: 'allowed_tools'
  allowed_tools: {
    mode: 'auto' | 'required'
    tools: {
      [k: string]: unknown
    }[]
    [k: string]: unknown
  }
  [k: string]: unknown
}
/**
 * Body of `POST /api/v1/responses`. Null means absent for every optional field; fields that are not listed are kept and sent on.
 */
export interface ResponseRequest {
  /**
   * A text, or a list of items: messages, tool calls and their results, earlier thoughts.
   */
  input?: string | ResponseInputItem[] | null
  model?: ModelName
  models?: FallbackModels
  provider?: ProviderPreferences | null
  plugins?: PluginEntries
  route?: RouteMode
  transforms?: Transforms
  reasoning?: ReasoningOptions | null
  /**
   * System instructions for this response only.
   */
  instructions?: string | null
  /**
   * Sampling temperature: higher is more random.
   */
  temperature?: number | null
  /**
   * Nucleus sampling: only the likeliest tokens that together have this probability.
   */
  top_p?: number | null
  top_k?: TopK
  frequency_penalty?: number | null
  presence_penalty?: number | null
  /**
   * Ceiling for the output in tokens, thoughts included.
   */
  max_output_tokens?: number | null
  /**
   * How many calls of built-in tools the response may make.
   */
  max_tool_calls?: number | null
  /**
   * How many alternatives to return at each position.
   */
  top_logprobs?: number | null
  /**
   * Form and verbosity of the text output.
   */
  text?: {
    format?: ResponseTextFormat | null
    /**
     * `low`, `medium` or `high`.
     */
    verbosity?: string | null
    [k: string]: unknown
  } | null
  /**
   * Tools the model may call.
   */
  tools?: ResponseTool[] | null
  /**
   * `none`, `auto`, `required`, or one tool by type or name.
   */
  tool_choice?: ('none' | 'auto' | 'required') | ResponseToolChoice | null
  /**
   * Whether the model may call several tools in one turn.
   */
  parallel_tool_calls?: boolean | null
  /**
   * Send the response as server-sent events while it is made.
   */
  stream?: boolean | null
  /**
   * Options for `stream: true`.
   */
  stream_options?: {
    include_obfuscation?: boolean | null
    [k: string]: unknown
  } | null
  /**
   * Extra output to include, for instance `reasoning.encrypted_content`.
   */
  include?: string[] | null
  /**
   * Keep the response, so that it can be retrieved and continued.
   */
  store?: boolean | null
  /**
   * Continue the conversation of this stored response.
   */
  previous_response_id?: string | null
  /**
   * The conversation this response belongs to, by id.
   */
  conversation?:
    | string
    | {
        id: string
        [k: string]: unknown
      }
    | null
  /**
   * Answer at once and work in the background.
   */
  background?: boolean | null
  /**
   * A stored prompt template and the values of its variables.
   */
  prompt?: {
    id: string
    version?: string | null
    variables?: {
      [k: string]: unknown
    } | null
    [k: string]: unknown
  } | null
  /**
   * What to do when the conversation grows long.
   */
  context_management?:
    | {
        [k: string]: unknown
      }[]
    | null
  /**
   * `auto` drops input from the middle until it fits; `disabled` (the default) makes it an error.
   */
  truncation?: 'auto' | 'disabled' | null
  /**
   * `auto`, `default`, `flex`, `priority`, or another tier that the upstream has.
   */
  service_tier?: string | null
  /**
   * Key-value pairs of the client's own.
   */
  metadata?: {
    [k: string]: unknown
  } | null
  /**
   * The end user, for abuse detection.
   */
  user?: string | null
  /**
   * A stable, anonymous identifier of the end user.
   */
  safety_identifier?: string | null
  /**
   * Requests with the same key are likelier to find a cached prompt.
   */
  prompt_cache_key?: string | null
  /**
   * How long the upstream keeps a cached prompt.
   */
  prompt_cache_retention?: string | null
  [k: string]: unknown
}
/**
 * A message; `type` may be left out.
 */
export interface ResponseInputMessage {
  type?: 'message' | null
  role: 'user' | 'assistant' | 'system' | 'developer'
  /**
   * Text, or a list of parts.
   */
  content: string | ResponseContentPart[]
  id?: string | null
  status?: string | null
  phase?: string | null
  [k: string]: unknown
}
export interface ResponseInputText {
  type: 'input_text'
  text: string
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ResponseInputImage {
  type: 'input_image'
  /**
   * `https:` or `data:`; fetched only where the provider needs bytes.
   */
  image_url?: string | null
  file_id?: string | null
  /**
   * `auto`, `low` or `high`.
   */
  detail?: string | null
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ResponseInputFile {
  type: 'input_file'
  file_data?: string | null
  file_id?: string | null
  file_url?: string | null
  filename?: string | null
  cache_control?: CacheControl
  [k: string]: unknown
}
export interface ResponseOutputText {
  type: 'output_text'
  text: string
  annotations?:
    | {
        [k: string]: unknown
      }[]
    | null
  logprobs?:
    | {
        [k: string]: unknown
      }[]
    | null
  [k: string]: unknown
}
/**
 * A call the model made.
 */
export interface ResponseFunctionCall {
  type: 'function_call'
  id?: string | null
  call_id: string
  name: string
  /**
   * JSON, as the model wrote it.
   */
  arguments: string
  status?: string | null
  [k: string]: unknown
}
/**
 * The result of a call.
 */
export interface ResponseFunctionCallOutput {
  type: 'function_call_output'
  id?: string | null
  call_id: string
  /**
   * Text, or a list of parts.
   */
  output: string | ResponseContentPart[]
  status?: string | null
  [k: string]: unknown
}
/**
 * Thoughts of an earlier response. Send them back as they came.
 */
export interface ResponseReasoningItem {
  type: 'reasoning'
  id?: string | null
  summary?:
    | {
        [k: string]: unknown
      }[]
    | null
  content?:
    | {
        [k: string]: unknown
      }[]
    | null
  encrypted_content?: string | null
  status?: string | null
  [k: string]: unknown
}
export interface ResponseCustomToolCall {
  type: 'custom_tool_call'
  id?: string | null
  call_id: string
  name: string
  input: string
  [k: string]: unknown
}
export interface ResponseCustomToolCallOutput {
  type: 'custom_tool_call_output'
  id?: string | null
  call_id: string
  output: string | ResponseContentPart[]
  [k: string]: unknown
}
/**
 * An item of an earlier response, by id; `type` may be left out.
 */
export interface ResponseItemReference {
  type?: 'item_reference' | null
  id: string
  [k: string]: unknown
}
/**
 * JSON that follows a schema.
 */
export interface ResponseJsonSchemaFormat {
  type: 'json_schema'
  name: string
  description?: string | null
  schema?: {
    [k: string]: unknown
  } | null
  strict?: boolean | null
  [k: string]: unknown
}
export interface ResponseFunctionTool {
  type: 'function'
  name: string
  description?: string | null
  /**
   * JSON Schema of the arguments.
   */
  parameters?: {
    [k: string]: unknown
  } | null
  strict?: boolean | null
  [k: string]: unknown
}
export interface ResponseCustomTool {
  type: 'custom'
  name: string
  description?: string | null
  format?: {
    [k: string]: unknown
  } | null
  [k: string]: unknown
}
export interface ResponseFunctionChoice {
  type: 'function'
  name: string
  [k: string]: unknown
}
/**
 * Only some of the tools may be called.
 */
export interface ResponseAllowedTools {
  type: 'allowed_tools'
  mode?: 'none' | 'auto' | 'required' | null
  tools: {
    [k: string]: unknown
  }[]
  [k: string]: unknown
}
/**
 * Body of `POST /api/v1/completions`, the older text completion. Null means absent for every optional field; fields that are not listed are kept and sent on.
 */
export interface CompletionRequest {
  /**
   * A text, several texts, or the same as token ids.
   */
  prompt: string | (string | number | number[])[]
  model?: ModelName
  models?: FallbackModels
  provider?: ProviderPreferences | null
  plugins?: PluginEntries
  route?: RouteMode
  transforms?: Transforms
  /**
   * Ceiling for the output in tokens.
   */
  max_tokens?: number | null
  /**
   * Sampling temperature.
   */
  temperature?: number | null
  /**
   * Nucleus sampling.
   */
  top_p?: number | null
  top_k?: TopK
  min_p?: number | null
  /**
   * How many completions per prompt.
   */
  n?: number | null
  /**
   * Generate this many and return the best `n`.
   */
  best_of?: number | null
  /**
   * Repeat the prompt in the answer.
   */
  echo?: boolean | null
  /**
   * Text that follows the insertion.
   */
  suffix?: string | null
  frequency_penalty?: number | null
  presence_penalty?: number | null
  logit_bias?: {
    [k: string]: number
  } | null
  /**
   * How many alternatives to return at each position.
   */
  logprobs?: number | null
  seed?: number | null
  /**
   * Up to four sequences at which the output ends.
   *
   * @maxItems 4
   */
  stop?: string | string[] | null
  /**
   * Send the answer as server-sent events while it is made.
   */
  stream?: boolean | null
  stream_options?: ChatStreamOptions
  /**
   * The end user, for abuse detection.
   */
  user?: string | null
  [k: string]: unknown
}
/**
 * Body of `POST /api/v1/embeddings`. Null means absent for every optional field; fields that are not listed are kept and sent on.
 */
export interface EmbeddingRequest {
  /**
   * A text, several texts, or the same as token ids.
   *
   * @minItems 1
   */
  input:
    | string
    | (
        | string
        | number
        | number[]
        | {
            [k: string]: unknown
          }
      )[]
  model?: ModelName
  models?: FallbackModels
  provider?: ProviderPreferences | null
  plugins?: PluginEntries
  /**
   * Length of the vectors, for models that let one choose.
   */
  dimensions?: number | null
  /**
   * Default `float`.
   */
  encoding_format?: 'float' | 'base64' | null
  /**
   * The end user, for abuse detection.
   */
  user?: string | null
  [k: string]: unknown
}
/**
 * Tokens and cost of a request. Streamed, it comes once, in the last chunk.
 */
export interface ChatUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details?: {
    /**
     * Read from the provider's prompt cache.
     */
    cached_tokens?: number
    /**
     * Written to the provider's prompt cache.
     */
    cache_write_tokens?: number
    audio_tokens?: number
    [k: string]: unknown
  } | null
  completion_tokens_details?: {
    /**
     * Tokens of thinking.
     */
    reasoning_tokens?: number
    audio_tokens?: number
    accepted_prediction_tokens?: number
    rejected_prediction_tokens?: number
    [k: string]: unknown
  } | null
  server_tool_use?: ServerToolUse
  cost?: Cost
  cost_details?: CostDetails
  is_byok?: IsByok
  [k: string]: unknown
}
/**
 * What was done besides generating text; only where something was.
 */
export interface ServerToolUse {
  /**
   * Searches of the web, those of the upstream and those of the plugin `web`.
   */
  web_search_requests?: number
  [k: string]: unknown
}
/**
 * Tokens and cost of a response.
 */
export interface ResponseUsage {
  input_tokens: number
  input_tokens_details?: {
    /**
     * Read from the provider's prompt cache.
     */
    cached_tokens?: number
    /**
     * Written to the provider's prompt cache.
     */
    cache_write_tokens?: number
    [k: string]: unknown
  }
  output_tokens: number
  output_tokens_details?: {
    /**
     * Tokens of thinking.
     */
    reasoning_tokens?: number
    [k: string]: unknown
  }
  total_tokens: number
  server_tool_use?: ServerToolUse
  cost?: Cost
  cost_details?: CostDetails
  is_byok?: IsByok
  [k: string]: unknown
}
/**
 * The answer to a chat completion request without `stream`.
 */
export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  /**
   * Unix time in seconds.
   */
  created: number
  /**
   * The model that answered.
   */
  model: string
  choices: ChatChoice[]
  usage?: ChatUsage
  service_tier?: string | null
  system_fingerprint?: string | null
  hadrian_metadata?: HadrianMetadata
  [k: string]: unknown
}
export interface ChatChoice {
  index: number
  message: ChatCompletionMessage
  finish_reason: FinishReason
  /**
   * What the provider called it.
   */
  native_finish_reason?: string | null
  logprobs?: {
    [k: string]: unknown
  } | null
  [k: string]: unknown
}
export interface ChatCompletionMessage {
  role: 'assistant'
  content: string | null
  refusal?: string | null
  tool_calls?: ChatToolCall[]
  /**
   * The thoughts as text.
   */
  reasoning?: string | null
  /**
   * The thoughts with signatures; send them back unchanged.
   */
  reasoning_details?: {
    [k: string]: unknown
  }[]
  annotations?: {
    [k: string]: unknown
  }[]
  audio?: {
    [k: string]: unknown
  } | null
  [k: string]: unknown
}
/**
 * One `data:` record of a streamed chat completion. The stream ends with `data: [DONE]`; a failure after the first byte is a record `{"error": {...}}`, after which the stream ends without `[DONE]`.
 */
export interface ChatCompletionChunk {
  id: string
  object: 'chat.completion.chunk'
  /**
   * Unix time in seconds.
   */
  created: number
  /**
   * The model that answers.
   */
  model: string
  /**
   * Empty in the chunk that carries the usage.
   */
  choices: {
    index: number
    delta: ChatDelta
    finish_reason?: FinishReason
    native_finish_reason?: string | null
    logprobs?: {
      [k: string]: unknown
    } | null
    [k: string]: unknown
  }[]
  usage?: ChatUsage | null
  service_tier?: string | null
  system_fingerprint?: string | null
  hadrian_metadata?: HadrianMetadata
  [k: string]: unknown
}
/**
 * What this chunk adds to the message.
 */
export interface ChatDelta {
  role?: string
  content?: string | null
  refusal?: string | null
  reasoning?: string | null
  reasoning_details?: {
    [k: string]: unknown
  }[]
  tool_calls?: {
    index: number
    id?: string
    type?: string
    function?: {
      name?: string
      arguments?: string
      [k: string]: unknown
    }
    [k: string]: unknown
  }[]
  [k: string]: unknown
}
/**
 * The response object: the answer without `stream`, and part of the first and last events with it.
 */
export interface Response {
  /**
   * The gateway's own id.
   */
  id: string
  object: 'response'
  /**
   * Unix time in seconds.
   */
  created_at: number
  completed_at?: number | null
  status: 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'
  /**
   * The model that answered.
   */
  model: string
  output: ResponseOutputItem[]
  error?: {
    code?: string
    message?: string
    [k: string]: unknown
  } | null
  /**
   * Why the response is incomplete, for instance `max_output_tokens`.
   */
  incomplete_details?: {
    reason?: string
    [k: string]: unknown
  } | null
  usage?: ResponseUsage | null
  instructions?: string | unknown[] | null
  previous_response_id?: string | null
  reasoning?: {
    [k: string]: unknown
  } | null
  text?: {
    [k: string]: unknown
  } | null
  tools?: {
    [k: string]: unknown
  }[]
  tool_choice?:
    | string
    | {
        [k: string]: unknown
      }
    | null
  parallel_tool_calls?: boolean | null
  temperature?: number | null
  top_p?: number | null
  top_logprobs?: number | null
  max_output_tokens?: number | null
  max_tool_calls?: number | null
  truncation?: string | null
  service_tier?: string | null
  store?: boolean | null
  background?: boolean | null
  metadata?: {
    [k: string]: unknown
  } | null
  user?: string | null
  safety_identifier?: string | null
  prompt_cache_key?: string | null
  hadrian_metadata?: HadrianMetadata
  [k: string]: unknown
}
export interface ResponseOutputMessage {
  type: 'message'
  id: string
  status?: string
  role: 'assistant'
  content: ResponseContentPart[]
  [k: string]: unknown
}
/**
 * One record of a streamed response, with an `event:` line that repeats `type`. The first is `response.created`; the last is `response.completed`, `response.incomplete` or `response.failed`, then `data: [DONE]` unless it failed.
 */
export interface ResponseStreamEvent {
  type: string
  /**
   * Counts from 0 without gaps.
   */
  sequence_number: number
  response?: Response
  item?: ResponseOutputItem
  part?: ResponseContentPart
  item_id?: string
  output_index?: number
  content_index?: number
  summary_index?: number
  /**
   * What this event adds.
   */
  delta?: string
  /**
   * The whole text, once it is complete.
   */
  text?: string
  /**
   * The whole arguments, once they are complete.
   */
  arguments?: string
  [k: string]: unknown
}
/**
 * The answer to a text completion request; streamed, every record has this form, and `data: [DONE]` ends the stream.
 */
export interface Completion {
  id: string
  object: 'text_completion'
  /**
   * Unix time in seconds.
   */
  created: number
  /**
   * The model that answered.
   */
  model: string
  choices: {
    index: number
    text: string
    finish_reason?: string | null
    logprobs?: {
      [k: string]: unknown
    } | null
    [k: string]: unknown
  }[]
  usage?: ChatUsage | null
  hadrian_metadata?: HadrianMetadata
  [k: string]: unknown
}
/**
 * The answer to an embeddings request.
 */
export interface EmbeddingList {
  object: 'list'
  /**
   * The model that answered.
   */
  model: string
  data: {
    object?: 'embedding'
    index: number
    /**
     * The vector, as numbers or as base64 of little-endian 32-bit floats.
     */
    embedding: number[] | string
    [k: string]: unknown
  }[]
  usage?: {
    prompt_tokens: number
    total_tokens: number
    cost?: Cost
    cost_details?: CostDetails
    is_byok?: IsByok
    [k: string]: unknown
  }
  hadrian_metadata?: HadrianMetadata
  [k: string]: unknown
}
/**
 * The models that this caller may use.
 */
export interface ModelList {
  object: 'list'
  data: Model[]
  [k: string]: unknown
}
/**
 * A model; prices, context and capabilities where they are known.
 */
export interface Model {
  /**
   * What to send as `model`.
   */
  id: string
  object: 'model'
  /**
   * Unix time in seconds.
   */
  created: number
  owned_by: string
  /**
   * For people.
   */
  name?: string
  /**
   * The provider instance that serves it.
   */
  provider?: string
  /**
   * Input and output together, in tokens.
   */
  context_length?: number
  max_output_tokens?: number
  input_modalities?: string[]
  output_modalities?: string[]
  supported_parameters?: string[]
  /**
   * The modalities again, as OpenRouter lists them.
   */
  architecture?: {
    input_modalities?: string[]
    output_modalities?: string[]
    [k: string]: unknown
  }
  /**
   * The limits again, as OpenRouter lists them.
   */
  top_provider?: {
    context_length?: number
    max_completion_tokens?: number
    [k: string]: unknown
  }
  /**
   * Whether the author of the model lets others train on its text.
   */
  distillable?: boolean
  pricing?: ModelPricing
  /**
   * Where calls of it may go, in the order of the catalog. What is known of the model is what is known of the first.
   */
  targets?: ModelTarget[]
  [k: string]: unknown
}
/**
 * US dollars per million tokens and per request, as numbers; and per token, as strings.
 */
export interface ModelPricing {
  input_per_million?: number
  output_per_million?: number
  cached_input_per_million?: number
  cache_write_per_million?: number
  cache_write_1h_per_million?: number
  reasoning_per_million?: number
  audio_input_per_million?: number
  audio_output_per_million?: number
  per_request?: number
  per_image?: number
  /**
   * Prices of every token of a call whose input has more tokens than `above_input_tokens`.
   */
  tiers?: {
    [k: string]: unknown
  }[]
  prompt?: string
  completion?: string
  input_cache_read?: string
  input_cache_write?: string
  internal_reasoning?: string
  /**
   * Per request.
   */
  request?: string
  /**
   * Per image of the request.
   */
  image?: string
  [k: string]: unknown
}
/**
 * A model of a provider instance that serves calls.
 */
export interface ModelTarget {
  /**
   * The provider instance.
   */
  provider: string
  /**
   * The model as the upstream knows it.
   */
  model: string
  /**
   * By what the keys of `provider` in a request name it.
   */
  slug: string
  context_length?: number
  max_output_tokens?: number
  quantization?: string
  /**
   * What becomes of prompts there, as far as the operator says.
   */
  data_policy?: {
    retention_days?: number
    training?: boolean
    region?: string
    [k: string]: unknown
  }
  weight?: number
  pricing?: ModelPricing
  /**
   * How it fares at the moment; `open` is held back.
   */
  status?: 'healthy' | 'degraded' | 'open'
  [k: string]: unknown
}
/**
 * The body of a call, as its own endpoint takes it: a chat completion (`messages`), a response (`input`), a completion (`prompt`), or embeddings.
 */
export interface ExplainRequest {
  [k: string]: unknown
}
/**
 * What would become of a request. Nothing of it was done: nothing sent, counted, taken or charged.
 */
export interface Explanation {
  object: 'explanation'
  dialect: 'chat' | 'responses' | 'completions' | 'embeddings'
  /**
   * The names in `model` and `models`.
   */
  requested: string[]
  /**
   * What would be tried, in order, as `provider/model`.
   */
  targets: string[]
  /**
   * What would not be tried, and why.
   */
  excluded: {
    target: string
    removed_by: string
    [k: string]: unknown
  }[]
  /**
   * The plugin that would answer in place of a model.
   */
  answered_by?: {
    plugin: string
    hook: string
    status: number
    [k: string]: unknown
  }
  estimated_input_tokens: number
  /**
   * One for each of `targets`, in their order.
   */
  estimates: TargetEstimate[]
  /**
   * The hooks that would run from the known caller on, in order; those of the answer once there is one.
   */
  pipeline: {
    hook: string
    plugin: string
    [k: string]: unknown
  }[]
  /**
   * The plugins that take part because of this request, and why they do.
   */
  request_plugins: {
    id: string
    reason: 'requested' | 'always' | 'implied' | 'model_suffix'
    [k: string]: unknown
  }[]
  /**
   * What plugins say of it, by their names: the limits that hold and what is left of them, how targets were ordered. `error` in place of it if one fails.
   */
  plugins: {
    [k: string]: {
      [k: string]: unknown
    }
  }
  /**
   * What the answer would carry in `hadrian_metadata`, as far as it is known before the call.
   */
  warnings: ExplainedWarning[]
  [k: string]: unknown
}
/**
 * What a call of one target would cost, in US dollars and in micro-dollars, where its prices are known.
 */
export interface TargetEstimate {
  target: string
  /**
   * The name that led to it.
   */
  requested: string
  /**
   * The provider instance.
   */
  provider: string
  /**
   * The model as the upstream knows it.
   */
  model: string
  /**
   * The output ceiling of one answer: the client's, or the model's.
   */
  max_output_tokens?: number
  pricing?: ModelPricing
  /**
   * Of the estimated input alone.
   */
  input_cost?: number
  input_cost_micros?: number
  /**
   * The most that it can cost: an input that no tokenizer exceeds, and the whole output ceiling for every answer. Absent while no ceiling is known.
   */
  worst_cost?: number
  worst_cost_micros?: number
  /**
   * What of the request would not reach this target.
   */
  losses: ExplainedWarning[]
  [k: string]: unknown
}
export interface ExplainedWarning {
  code: string
  message: string
  param?: string
  [k: string]: unknown
}
/**
 * Whether the gateway and what it stands on work.
 */
export interface Health {
  /**
   * `healthy` or `unhealthy`; of the parts of `/health`, `alive`, `ready` or `stopping`.
   */
  status: string
  version?: string
  /**
   * The same for each part, for instance `database`.
   */
  subsystems?: {
    [k: string]: {
      status?: string
      [k: string]: unknown
    }
  }
  [k: string]: unknown
}
/**
 * The body of every failed request.
 */
export interface ErrorResponse {
  error: ErrorObject
  [k: string]: unknown
}
export interface ErrorObject {
  /**
   * Coarse class, from the status.
   */
  type: 'invalid_request_error' | 'authentication_error' | 'permission_error' | 'rate_limit_error' | 'server_error'
  /**
   * What happened, for programs.
   */
  code: string
  /**
   * What happened, for people.
   */
  message: string
  /**
   * The JSON path of the field at fault, for instance `messages[0].content`.
   */
  param: string | null
  /**
   * Equal to the header `X-Request-Id`.
   */
  request_id: string
  /**
   * Facts that depend on the code.
   */
  details?: {
    [k: string]: unknown
  }
  [k: string]: unknown
}
/**
 * The `hadrian` field of a package.json, which makes the package a plugin or a provider.
 */
export interface PackageField {
  /**
   * What the package is.
   */
  kind: 'plugin' | 'provider'
  /**
   * The name in `hadrian.toml`: `[plugins.NAME]`, or `type = "NAME"` of a provider. Equal to the name in the definition that the package exports.
   */
  name: string
  /**
   * The version of the contract the package is written for.
   */
  api: number
}
