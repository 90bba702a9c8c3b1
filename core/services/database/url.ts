import { StartupError } from '../problems.ts'

/**
 * Where the URL of a database leads, for messages: without the password.
 * @param path what to call the setting if it is wrong
 * @throws StartupError if it is no PostgreSQL URL
 */
export function describeUrl(url: string, path = 'database.url'): { place: string; user: string | undefined } {
  try {
    const parsed = new URL(url)
    if (!/^postgres(ql)?:$/.test(parsed.protocol)) throw new Error('not a PostgreSQL URL')
    const host = parsed.hostname === '' ? (parsed.searchParams.get('host') ?? 'localhost') : parsed.host
    const user = parsed.username === '' ? undefined : decodeURIComponent(parsed.username)
    return { place: `"${decodeURIComponent(parsed.pathname.slice(1))}" at ${decodeURIComponent(host)}`, user }
  } catch {
    // Without the error: it may quote the URL, and with it the password.
    throw new StartupError([
      {
        path,
        message: 'is not a PostgreSQL URL',
        hint: 'Write it as postgresql://USER:PASSWORD@HOST:5432/NAME; percent-encode special characters of the password.',
      },
    ])
  }
}
