import { isMet } from './goals/goal.ts'
import type { Row } from './goals/goal.ts'

const headings = ['Goal', 'What', 'Gateway', 'Base', 'Paired', 'Best', 'Must', 'Stretch', 'Result']

/** The result as a table in Markdown. */
export function tableOf(rows: readonly Row[]): string {
  const lines = [headings, ...rows.map(cells)]
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const render = (line: readonly string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [
    render(lines[0]!),
    `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`,
    ...lines.slice(1).map(render),
  ].join('\n')
}

function cells(row: Row): string[] {
  const number = (value: number | undefined): string =>
    value === undefined
      ? ''
      : `${value.toFixed(row.unit === 'MB' ? 0 : 2)}${row.unit === undefined ? '' : ` ${row.unit}`}`
  return [
    String(row.goal),
    row.title,
    row.candidate,
    row.base,
    number(row.paired),
    number(row.best),
    number(row.must),
    number(row.stretch),
    verdict(row),
  ]
}

function verdict(row: Row): string {
  if (row.broken !== undefined) return row.broken
  if (row.must === undefined) return ''
  if (!isMet(row, row.must)) return 'missed'
  return isMet(row, row.stretch) ? 'stretch' : 'must'
}
