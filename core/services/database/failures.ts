import type { Problem } from '../problems.ts'

/** The database cannot be reached right now. The statement was not carried out, or nobody knows whether it was. */
export class DatabaseUnavailableError extends Error {
  readonly code = 'database_unavailable'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DatabaseUnavailableError'
  }
}

/** What Node, pg and PostgreSQL (SQLSTATE classes 08, 57P, 53300) call a connection that cannot be had or was lost. */
const unavailableCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'EACCES',
  'EMBEDDED_STOPPED',
  '08000',
  '08001',
  '08003',
  '08006',
  '53300',
  '57P01',
  '57P02',
  '57P03',
])

const unavailableMessages =
  /^(Connection terminated|timeout expired|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error)/

/** The error that says most: Node wraps one error per tried address in an `AggregateError` without a message. */
function innermost(error: unknown): { code?: unknown; message: string } {
  if (error instanceof AggregateError && error.errors.length > 0) return innermost(error.errors[0])
  if (error instanceof Error) return error
  return { message: String(error) }
}

/** Turns the loss or lack of a connection into a {@link DatabaseUnavailableError}; returns other errors as they are. */
export function explainFailure(error: unknown, place: string): unknown {
  const { code, message } = innermost(error)
  if (!unavailableCodes.has(String(code)) && !unavailableMessages.test(message)) return error
  return new DatabaseUnavailableError(`The database ${place} cannot be reached: ${message}`, { cause: error })
}

const path = 'database.url'

/**
 * Why PostgreSQL could not be opened, and what the operator can do.
 * @param place host, port and database name, without the password
 */
export function connectionProblem(error: unknown, place: string, user: string | undefined): Problem {
  const { code, message } = innermost(error)
  const say = (summary: string, hint: string): Problem => ({
    path,
    message: `cannot open the database ${place}: ${summary}`,
    hint,
  })
  switch (code) {
    case 'ECONNREFUSED':
    case 'ENOENT':
      return say('nothing listens there', 'Start PostgreSQL, or correct the host and port of DATABASE_URL.')
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return say('the host name is not known', 'Correct the host of DATABASE_URL, or check the DNS.')
    case '28P01':
      return say(
        `the password of user ${user ?? '(none)'} is wrong`,
        'Correct the password of DATABASE_URL; special characters in it must be percent-encoded.',
      )
    case '28000':
      return say(message, 'Correct the user of DATABASE_URL, or allow it in pg_hba.conf.')
    case '3D000':
      return say('it does not exist', 'Create it with "createdb NAME", or correct the name in DATABASE_URL.')
    case '53300':
      return say('it has no connection left', 'Raise max_connections, or stop other clients.')
    case '57P03':
      return say(message, 'It is starting or stopping: try again in a few seconds.')
  }
  if (/timeout|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/.test(`${String(code)} ${message}`)) {
    return say('no answer in time', 'Check the host and port of DATABASE_URL and that no firewall is between.')
  }
  if (/SSL|certificate|self-signed/i.test(message)) {
    return say(message, 'Set sslmode in DATABASE_URL: "disable", "no-verify", or "verify-full" with sslrootcert=FILE.')
  }
  return say(message, 'Check DATABASE_URL: postgresql://USER:PASSWORD@HOST:5432/NAME')
}
