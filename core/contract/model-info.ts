/** What is known of models as JSON and TOML spell it: in the config, in the admin API and in lists. */

import type { JsonObject } from './canonical.ts'
import type { ReportMistake } from './fields.ts'
import { pricesBody, readPrices } from './prices.ts'
import type { DataPolicy, ModelFacts } from './provider.ts'

/** The number formats that weights of models come in, as clients name them in `provider.quantizations`. */
export const quantizations = [
  'int4', 'int8', 'fp4', 'mxfp4', 'nvfp4', 'fp6', 'fp8', 'mxfp8', 'fp16', 'bf16', 'fp32', 'unknown',
] as const // prettier-ignore
const inputModalities = ['text', 'image', 'audio', 'file', 'video']
const outputModalities = ['text', 'image', 'audio', 'embedding']
const policyFields = ['retention_days', 'training', 'region']
const mostCharacters = 256
const mostEntries = 100

/** The fields that {@link readModelInfo} knows, in the order they are shown in. */
export const modelInfoFields: readonly string[] = [
  'name',
  'context_length',
  'max_output_tokens',
  'input_modalities',
  'output_modalities',
  'supported_parameters',
  'quantization',
  'data_policy',
  'distillable',
  'slug',
  'weight',
  'prices',
]

/**
 * Reads what is known of a model or a target. Null and absent both mean unknown; fields of others are passed over. Every
 * mistake is told to `wrong`, and what it is in is left out.
 *
 * @param path where the fields stand, for the paths of mistakes; empty for the whole body
 */
export function readModelInfo(body: JsonObject, path: string, wrong: ReportMistake): ModelFacts {
  const at = (field: string): string => (path === '' ? field : `${path}.${field}`)
  const read = <T>(field: string, reader: (value: unknown, path: string, wrong: ReportMistake) => T): T | undefined =>
    isAbsent(body[field]) ? undefined : reader(body[field], at(field), wrong)
  return present({
    name: read('name', text),
    contextLength: read('context_length', count),
    maxOutputTokens: read('max_output_tokens', count),
    inputModalities: read('input_modalities', listOf(inputModalities)),
    outputModalities: read('output_modalities', listOf(outputModalities)),
    supportedParameters: read('supported_parameters', listOf()),
    quantization: read('quantization', oneOf(quantizations)),
    dataPolicy: read('data_policy', dataPolicy),
    distillable: read('distillable', flag),
    slug: read('slug', text),
    weight: read('weight', amount),
    prices: read('prices', (value, place) =>
      isObject(value) ? readPrices(value, place, wrong) : refuse(place, 'must be an object', wrong),
    ),
  })
}

/** The JSON that {@link readModelInfo} reads; what is unknown is left out. */
export function modelInfoBody(info: ModelFacts): JsonObject {
  return present({
    name: info.name,
    context_length: info.contextLength,
    max_output_tokens: info.maxOutputTokens,
    input_modalities: info.inputModalities,
    output_modalities: info.outputModalities,
    supported_parameters: info.supportedParameters,
    quantization: info.quantization,
    data_policy: info.dataPolicy && dataPolicyBody(info.dataPolicy),
    distillable: info.distillable,
    slug: info.slug,
    weight: info.weight,
    prices: info.prices && pricesBody(info.prices),
  })
}

/** A data policy as JSON; what is unknown is left out. */
export function dataPolicyBody({ retentionDays, training, region }: DataPolicy): JsonObject {
  return present({ retention_days: retentionDays, training, region })
}

function dataPolicy(value: unknown, path: string, wrong: ReportMistake): DataPolicy | undefined {
  if (!isObject(value)) return refuse(path, 'must be an object', wrong)
  checkKnown(value, policyFields, path, wrong)
  const { retention_days: days, training, region } = value
  return present({
    retentionDays: isAbsent(days) ? undefined : amount(days, `${path}.retention_days`, wrong),
    training: isAbsent(training) ? undefined : flag(training, `${path}.training`, wrong),
    region: isAbsent(region) ? undefined : text(region, `${path}.region`, wrong),
  })
}

/** Tells of every field that is not among the known ones. */
export function checkKnown(body: JsonObject, known: readonly string[], path: string, wrong: ReportMistake): void {
  for (const field of Object.keys(body))
    if (!known.includes(field))
      wrong({
        path: `${path === '' ? '' : `${path}.`}${field.slice(0, 64)}`,
        message: `is not known; known are ${known.join(', ')}`,
      })
}

function text(value: unknown, path: string, wrong: ReportMistake): string | undefined {
  // The database has no NUL.
  const fits = typeof value === 'string' && value !== '' && value.length <= mostCharacters && !value.includes('\0')
  return fits ? value : refuse(path, `must be a text of at most ${mostCharacters} characters`, wrong)
}

function count(value: unknown, path: string, wrong: ReportMistake): number | undefined {
  const fits = Number.isSafeInteger(value) && Number(value) >= 1
  return fits ? Number(value) : refuse(path, 'must be a whole number of 1 or more', wrong)
}

function amount(value: unknown, path: string, wrong: ReportMistake): number | undefined {
  const fits = typeof value === 'number' && Number.isFinite(value) && value >= 0
  return fits ? value : refuse(path, 'must be a number of 0 or more', wrong)
}

function flag(value: unknown, path: string, wrong: ReportMistake): boolean | undefined {
  return typeof value === 'boolean' ? value : refuse(path, 'must be true or false', wrong)
}

function oneOf(allowed: readonly string[]) {
  return (value: unknown, path: string, wrong: ReportMistake): string | undefined =>
    typeof value === 'string' && allowed.includes(value)
      ? value
      : refuse(path, `must be one of ${allowed.join(', ')}`, wrong)
}

function listOf(allowed?: readonly string[]) {
  const read = allowed ? oneOf(allowed) : text
  return (value: unknown, path: string, wrong: ReportMistake): readonly string[] | undefined =>
    Array.isArray(value) && value.length <= mostEntries
      ? value.flatMap((entry, index) => read(entry, `${path}[${index}]`, wrong) ?? [])
      : refuse(path, `must be an array of at most ${mostEntries} texts`, wrong)
}

function refuse(path: string, message: string, wrong: ReportMistake): undefined {
  wrong({ path, message })
}

function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Without the fields that are undefined. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
