/** What stands in place of a secret. */
export const redacted = '[redacted]'

/** Our own keys, keys in OpenAI's and Anthropic's style (shortened with asterisks too), and bearer tokens anywhere. */
const shapes = [
  String.raw`\bgw_(?:live|test)_[A-Za-z0-9_\-]+`,
  String.raw`\bsk-[A-Za-z0-9_*.\-]{8,}`,
  String.raw`\bbearer\s+[A-Za-z0-9_*.~+/=\-]{8,}`,
]

/** Fields whose value is a secret by their name, in a line of JSON. */
const secretFields =
  /("(?:authorization|proxy-authorization|x-api-key|api[-_]?key|cookie|set-cookie|password|client[-_]?secret|access[-_]?token|refresh[-_]?token)":)"(?:[^"\\]|\\.)*"/gi

/** String literals of a line of JSON: the only places where something may be replaced without breaking the line. */
const literals = /"(?:[^"\\]|\\.)*"/g

/** A shorter secret would match ordinary words of a log line. */
const shortestSecret = 4

/**
 * Makes a function that takes everything secret out of lines of JSON and leaves valid JSON. `secrets` is asked each time,
 * so that values which become known later count too.
 */
export function lineRedactor(secrets: () => Iterable<string> = () => []): (line: string) => string {
  let known: readonly string[] = []
  let pattern = patternOf(known)
  return (line) => {
    const now = [...secrets()]
    if (now.length !== known.length || now.some((secret, index) => secret !== known[index])) {
      known = now
      pattern = patternOf(known)
    }
    const named = line.replace(secretFields, `$1"${redacted}"`)
    if (named.search(pattern) < 0) return named
    return named.replace(literals, (literal) => `"${literal.slice(1, -1).replace(pattern, redacted)}"`)
  }
}

function patternOf(secrets: readonly string[]): RegExp {
  const forms = new Set<string>()
  for (const secret of secrets) {
    if (secret.length < shortestSecret) continue
    // As it stands in JSON, as it stands in a URL, and as JSON within JSON has it.
    const inJson = JSON.stringify(secret).slice(1, -1)
    forms.add(inJson).add(JSON.stringify(inJson).slice(1, -1))
    try {
      forms.add(encodeURIComponent(secret))
    } catch {
      // A lone surrogate has no form in a URL.
    }
  }
  const longestFirst = [...forms].sort((a, b) => b.length - a.length).map((form) => RegExp.escape(form))
  return new RegExp([...longestFirst, ...shapes].join('|'), 'gi')
}
