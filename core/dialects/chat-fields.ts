import type { GenerateRequest, JsonObject } from '../contract/canonical.ts'
import { withRoute, withTransforms } from './extension-aliases.ts'

/** True for a JSON object, which an array is not. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isString(value: unknown): value is string {
  return typeof value === 'string'
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number'
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isString)
}

function isObjectList(value: unknown): value is readonly JsonObject[] {
  return Array.isArray(value) && value.every(isObject)
}

/**
 * Takes the known fields out of a wire object, one by one; what is left are the unknown ones. A known field that is null
 * counts as absent, and one of another type than expected stays with the unknown ones, so that nothing is lost.
 */
export class FieldReader {
  readonly #source: JsonObject
  /** Names are noted, and none is deleted: engines make a slow object of one that loses its fields. */
  readonly #taken: string[] = []
  #kept: Record<string, unknown> | undefined

  constructor(object: JsonObject) {
    this.#source = object
  }

  string(name: string): string | undefined {
    return this.#take(name, isString)
  }

  number(name: string): number | undefined {
    return this.#take(name, isNumber)
  }

  boolean(name: string): boolean | undefined {
    return this.#take(name, isBoolean)
  }

  object(name: string): JsonObject | undefined {
    return this.#take(name, isObject)
  }

  strings(name: string): readonly string[] | undefined {
    return this.#take(name, isStringList)
  }

  objects(name: string): readonly JsonObject[] | undefined {
    return this.#take(name, isObjectList)
  }

  list(name: string): readonly unknown[] | undefined {
    return this.#take(name, isList)
  }

  /** A field of these values only. */
  oneOf<T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.peek(name)
    if (value !== null && !values.includes(value as T)) return undefined
    this.#taken.push(name)
    return (value as T | null) ?? undefined
  }

  /** What the field holds, without taking it. */
  peek(name: string): unknown {
    const value = this.#source[name]
    return value === undefined || this.#taken.includes(name) ? undefined : value
  }

  /** Puts a field back among the unknown ones. */
  keep(name: string, value: unknown): void {
    this.#kept = { ...this.#kept, [name]: value }
  }

  /** The unknown fields, or undefined if there are none. */
  rest(): JsonObject | undefined {
    if (!this.#kept && Object.keys(this.#source).every((name) => this.#taken.includes(name))) return undefined
    const left: Record<string, unknown> = { ...this.#source }
    for (const name of this.#taken) delete left[name]
    return this.#kept ? { ...left, ...this.#kept } : left
  }

  #take<T>(name: string, accepts: (value: unknown) => value is T): T | undefined {
    const value = this.peek(name)
    if (value === undefined) return undefined
    if (value === null) {
      this.#taken.push(name)
      return undefined
    }
    if (!accepts(value)) return undefined
    this.#taken.push(name)
    return value
  }
}

type ScalarKind = 'string' | 'number' | 'boolean' | 'object'

/** A top-level field that is the same value in canonical form: its wire name, its canonical one and its type. */
export type Scalar = readonly [wire: string, canonical: keyof GenerateRequest, kind: ScalarKind]

/** The sampling fields that `/chat/completions` and `/completions` share. */
export const samplingScalars: readonly Scalar[] = [
  ['frequency_penalty', 'frequencyPenalty', 'number'],
  ['presence_penalty', 'presencePenalty', 'number'],
  ['temperature', 'temperature', 'number'],
  ['top_p', 'topP', 'number'],
  ['top_k', 'topK', 'number'],
  ['min_p', 'minP', 'number'],
  ['seed', 'seed', 'number'],
  ['n', 'n', 'number'],
  ['logit_bias', 'logitBias', 'object'],
]

/** The other plain fields of `/chat/completions`. */
export const chatScalars: readonly Scalar[] = [
  ...samplingScalars,
  ['logprobs', 'logprobs', 'boolean'],
  ['top_logprobs', 'topLogprobs', 'number'],
  ['parallel_tool_calls', 'parallelToolCalls', 'boolean'],
  ['verbosity', 'verbosity', 'string'],
  ['safety_identifier', 'safetyIdentifier', 'string'],
  ['prompt_cache_key', 'promptCacheKey', 'string'],
  ['service_tier', 'serviceTier', 'string'],
  ['metadata', 'metadata', 'object'],
  ['store', 'store', 'boolean'],
]

/** Reads the fields of a table into their canonical names. */
export function readScalars(fields: FieldReader, table: readonly Scalar[]): Partial<GenerateRequest> {
  const found: Record<string, unknown> = {}
  for (const [wire, canonical, kind] of table) {
    if (fields.peek(wire) === undefined) continue
    const value = fields[kind](wire)
    if (value !== undefined) found[canonical] = value
  }
  return found
}

/** The fields that every operation has: who answers, who asks, and what the gateway is to do about it. */
export function readCommon(fields: FieldReader): Partial<GenerateRequest> {
  const model = fields.string('model')
  const models = fields.strings('models')
  const user = fields.string('user')
  const provider = withRoute(fields.object('provider'), fields.string('route'))
  const entries = fields.objects('plugins')
  const named = entries?.map((entry) => ({ ...entry, id: String(entry['id']) }))
  const plugins = withTransforms(named, fields.peek('transforms'))
  return {
    ...(model !== undefined && { model }),
    ...(models && { models }),
    ...(user !== undefined && { user }),
    ...(provider && { provider }),
    ...(plugins && { plugins }),
  }
}

/**
 * `stream`, `stream_options.include_usage`, for a stream also its other spelling `usage.include`, and, of `stop`, both
 * spellings. Adds to `form` what was spelled unusually.
 */
export function readStreamAndStop(
  fields: FieldReader,
  form: string[],
): Pick<GenerateRequest, 'stream'> & Partial<GenerateRequest> {
  const stream = fields.boolean('stream')
  if (stream === false) form.push('stream')
  const options = fields.object('stream_options')
  const optionFields = new FieldReader(options ?? {})
  const written = optionFields.boolean('include_usage')
  // A whole answer has its usage anyway, and upstreams refuse options of a stream where there is none.
  const includeUsage = fields.object('usage')?.['include'] === true && stream === true ? true : written
  const otherOptions = optionFields.rest()
  if (otherOptions) fields.keep('stream_options', otherOptions)
  else if (options && written === undefined) fields.keep('stream_options', {})
  const stopString = fields.string('stop')
  if (stopString !== undefined) form.push('stop')
  const stop = stopString === undefined ? fields.strings('stop') : [stopString]
  return {
    stream: stream === true,
    ...(includeUsage !== undefined && { includeUsage }),
    ...(stop && { stop }),
  }
}
