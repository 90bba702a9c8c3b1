/** What a spreadsheet takes for the beginning of a formula. */
const formulaStart = /^[=+\-@\t\r\n＝＋－＠]/
/** Semicolons and tabs separate cells where the comma is the decimal point. */
const mustQuote = /[",;\t\r\n]|^\s|\s$/

/**
 * A line of RFC 4180. Text that a spreadsheet would take for a formula gets an apostrophe in front, as it is the words
 * of clients and upstreams; numbers stay as they are.
 */
export function csvLine(cells: readonly unknown[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

function csvCell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value instanceof Date) return value.toISOString()
  const plain = isTextList(value) ? value.join(' ') : typeof value === 'string' ? value : JSON.stringify(value)
  const text = formulaStart.test(plain) ? `'${plain}` : plain
  return mustQuote.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
