/** The parts of READMEs that say what the code says: options from their schemas, error codes from their table. */

import type { Definition } from '../boot/discover.ts'
import { errorCodes } from '../contract/errors.ts'
import type { Schema } from '../contract/options.ts'

/** What stands between `<!-- options -->` and `<!-- /options -->`. */
export function optionsText({ options, ...definition }: Definition): string {
  const operator = schemaTable('Option', options) ?? 'None.'
  const params = 'params' in definition && definition.params
  if (!params) return operator
  const client = schemaTable('Param', params)
  return `${operator}\n\n${
    client === undefined
      ? 'A client names it in `plugins` without params.'
      : `Params, which a client may set in its \`plugins\` entry:\n\n${client}`
  }`
}

/** What stands between `<!-- errors -->` and `<!-- /errors -->`. */
export function errorsText(): string {
  const rows = Object.entries(errorCodes).map(([code, { status, meaning, remedy }]) => [
    `\`${code}\``,
    String(status),
    meaning,
    remedy,
  ])
  return table(['Code', 'HTTP', 'Meaning', 'What to do'], rows)
}

/**
 * Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->`. Returns undefined if the text has no such place.
 */
export function fill(text: string, name: string, content: string): string | undefined {
  const begin = `<!-- ${name} -->\n`
  const end = `<!-- /${name} -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end, from)
  if (from === -1 || to === -1) return undefined
  return `${text.slice(0, from + begin.length)}\n${content}\n\n${text.slice(to)}`
}

function schemaTable(title: string, schema: Schema): string | undefined {
  const rows = schemaRows(schema, '')
  return rows.length === 0 ? undefined : table([title, 'Type', 'Default', 'Meaning'], rows)
}

/** One row for each property; those of objects and of lists of objects follow it under a path. */
function schemaRows({ properties = {}, required = [] }: Schema, prefix: string): string[][] {
  return Object.entries(properties).flatMap(([name, property]) => {
    const path = `${prefix}${name}`
    const standard = property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``
    const row = [
      `\`${path}\``,
      typeOf(property),
      required.includes(name) ? 'required' : standard,
      property.description ?? '',
    ]
    const inner = property.items ? schemaRows(property.items, `${path}[].`) : schemaRows(property, `${path}.`)
    return [row, ...inner]
  })
}

function typeOf(schema: Schema): string {
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(', ')
  const type = [schema.type ?? 'any'].flat().join(' or ')
  if (type === 'array') return schema.items ? `list of ${typeOf(schema.items)}` : 'list'
  return `${type}${rangeOf(schema)}`
}

function rangeOf({ minimum, maximum }: Schema): string {
  return [...limit('from', minimum), ...limit('to', maximum)].join('')
}

function limit(word: string, value: unknown): string[] {
  return typeof value === 'number' ? [` ${word} ${value}`] : []
}

/** A Markdown table with its columns aligned, as the formatter wants it. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const escaped = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')))
  const widths = titles.map((title, column) => Math.max(3, ...[titles, ...escaped].map((row) => row[column]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [line(titles), line(widths.map((width) => '-'.repeat(width))), ...escaped.map(line)].join('\n')
}
