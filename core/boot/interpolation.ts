/** A string with its `${VARIABLE}` references replaced. */
export interface Interpolated {
  readonly text: string
  /** Variables it refers to, in order. */
  readonly variables: readonly string[]
  /** True if the whole string is one reference, so that its value may become a number or a boolean. */
  readonly whole: boolean
  /** What is wrong with it: a missing variable, a reference that is not closed. */
  readonly mistakes: readonly { readonly message: string; readonly hint: string }[]
}

const reference = /\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?/g

/**
 * Replaces `${NAME}` and `${NAME:-default}` by the environment. The default is used where the variable is unset or
 * empty; `$${` is a literal `${`.
 */
export function interpolate(text: string, environment: Readonly<Record<string, string | undefined>>): Interpolated {
  if (!text.includes('${')) return { text, variables: [], whole: false, mistakes: [] }
  const variables: string[] = []
  const mistakes: { message: string; hint: string }[] = []
  let whole = false
  const replaced = text.replaceAll(
    reference,
    (match: string, name: string | undefined, fallback: string | undefined) => {
      if (match === '$${') return '${'
      if (name === undefined) {
        mistakes.push({
          message: 'has a "${" that is no reference to an environment variable',
          hint: 'Write ${NAME} or ${NAME:-default}, and $${ for a literal "${".',
        })
        return ''
      }
      variables.push(name)
      whole ||= match === text
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined
      if (fallback !== undefined) return value === undefined || value === '' ? fallback : value
      if (value !== undefined) return value
      mistakes.push({
        message: `refers to the environment variable ${name}, which is not set`,
        hint: `Set ${name}, or write \${${name}:-default}.`,
      })
      return ''
    },
  )
  return { text: replaced, variables, whole, mistakes }
}
