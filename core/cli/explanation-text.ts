import { valueAt } from '../boot/config-path.ts'
import { table } from './table.ts'

/** An explanation for people: sections, each with a heading. */
export function* explanationLines(explanation: unknown): Generator<string> {
  const requested = listAt(explanation, 'requested').join(', ') || '(the default model)'
  yield `${requested}: about ${textAt(explanation, 'estimated_input_tokens')} input tokens (${textAt(explanation, 'dialect')})`
  const answered = valueAt(explanation, ['answered_by'])
  if (answered !== undefined)
    yield* section('Answered by a plugin in place of a model', [
      `${textAt(answered, 'plugin')} (${textAt(answered, 'hook')}), status ${textAt(answered, 'status')}`,
    ])
  const estimates = listAt(explanation, 'estimates')
  if (estimates.length > 0)
    yield* section('Targets, in order', [
      table(
        ['TARGET', 'FOR', 'INPUT $', 'AT MOST $', 'NOT SENT'],
        estimates.map((each) => [
          textAt(each, 'target'),
          textAt(each, 'requested'),
          costAt(each, 'input_cost'),
          costAt(each, 'worst_cost'),
          listAt(each, 'losses')
            .map((loss) => textAt(loss, 'param') || textAt(loss, 'message'))
            .join(', '),
        ]),
      ),
    ])
  yield* excludedSection(listAt(explanation, 'excluded'))
  const steps = Map.groupBy(listAt(explanation, 'pipeline'), (step) => textAt(step, 'hook'))
  if (steps.size > 0)
    yield* section('Plugins that would run', [
      table(
        ['HOOK', 'PLUGINS'],
        [...steps].map(([hook, plugins]) => [hook, plugins.map((step) => textAt(step, 'plugin')).join(', ')]),
      ),
    ])
  const named = listAt(explanation, 'request_plugins')
  if (named.length > 0)
    yield* section(
      'Because of this request',
      named.map((each) => `${textAt(each, 'id')} (${textAt(each, 'reason')})`),
    )
  const said = Object.entries(valueAt(explanation, ['plugins']) ?? {})
  if (said.length > 0)
    yield* section(
      'What plugins say',
      said.flatMap(([plugin, facts]) => factLines(plugin, facts)),
    )
  const warnings = listAt(explanation, 'warnings')
  if (warnings.length > 0)
    yield* section(
      'Warnings',
      warnings.map((each) => textAt(each, 'message')),
    )
}

/** The error of a request that would be refused, with what was tried for it. */
export function* refusalLines(status: number, answer: unknown): Generator<string> {
  const error = valueAt(answer, ['error'])
  yield `The request would be refused: ${status} ${textAt(error, 'code')}: ${textAt(error, 'message')}`
  for (const mistake of listAt(valueAt(error, ['details']), 'errors'))
    yield `  ${textAt(mistake, 'path')} ${textAt(mistake, 'message')}`.trimEnd()
  yield* excludedSection(listAt(valueAt(error, ['details']), 'candidates'))
  const suggestions = listAt(valueAt(error, ['details']), 'suggestions')
  if (suggestions.length > 0) yield* section('Names that are known', suggestions.map(String))
}

function* excludedSection(excluded: readonly unknown[]): Generator<string> {
  if (excluded.length === 0) return
  yield* section('Left out', [
    table(
      ['TARGET', 'BY'],
      excluded.map((each) => [textAt(each, 'target'), textAt(each, 'removed_by')]),
    ),
  ])
}

function* section(heading: string, lines: readonly string[]): Generator<string> {
  yield ''
  yield `${heading}:`
  for (const line of lines.flatMap((each) => each.split('\n'))) yield `  ${line}`
}

/** One line for each fact, and one for each entry of a list of facts. */
function factLines(plugin: string, facts: unknown): string[] {
  return Object.entries(facts as object).flatMap(([name, value]: [string, unknown]) =>
    Array.isArray(value)
      ? value.map((each) => `${plugin} ${name}: ${typeof each === 'object' ? pairs(each) : String(each)}`)
      : [`${plugin} ${name}: ${shown(value)}`],
  )
}

function pairs(facts: object | null): string {
  return Object.entries(facts ?? {})
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join(', ')
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'unknown'
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Dollars without an exponent; `?` where no price is known. */
function costAt(value: unknown, name: string): string {
  const dollars = valueAt(value, [name])
  return typeof dollars === 'number' ? dollars.toFixed(6) : '?'
}

function listAt(value: unknown, name: string): readonly unknown[] {
  const found = valueAt(value, [name])
  return Array.isArray(found) ? found : []
}

function textAt(value: unknown, name: string): string {
  const found = valueAt(value, [name])
  if (found === undefined || found === null) return ''
  return typeof found === 'string' ? found : JSON.stringify(found)
}
