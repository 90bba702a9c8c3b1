/** A complete escape of JSON, or else what may become one with more text. */
const escape = /\\(?:u([\da-fA-F]{4})|(["\\/bfnrt]))|(\\(?:u[\da-fA-F]{0,3})?$)/g
const escaped: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/** JSON text with its escapes read, and the escape at its end that is not complete. */
export function readEscapes(json: string): { readonly text: string; readonly open: string } {
  if (!json.includes('\\')) return { text: json, open: '' }
  let open = ''
  const text = json.replace(escape, (whole, code?: string, letter?: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16))
    if (letter !== undefined) return escaped[letter] ?? letter
    open = whole
    return ''
  })
  return { text, open }
}
