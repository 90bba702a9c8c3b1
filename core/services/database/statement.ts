import { DatabaseError } from 'pg'
import type { QueryConfig } from 'pg'
import { prepareValue } from 'pg/lib/utils'

/** Time a statement may take when nothing else is said, in milliseconds. */
export const statementTimeoutMs = 30_000

/** How much longer than the server the client waits, in milliseconds, for a server that no longer answers at all. */
export const clientMarginMs = 5000

/**
 * A statement as pg takes it. Parameters are made text here, so that one that cannot be (a circular object) fails
 * before the connection is in the middle of a statement.
 */
export function statement(
  sql: string,
  params: readonly unknown[],
  timeoutMs: number,
): QueryConfig & { query_timeout: number } {
  return { text: sql, values: params.map((value) => prepareValue(value)), query_timeout: timeoutMs + clientMarginMs }
}

/** Rows of the last statement: pg answers several statements in one string with a list of results. */
export function rowsOf<R>(result: unknown): R[] {
  const last = Array.isArray(result) ? result.at(-1) : result
  return (last as { rows: R[] }).rows
}

/** The error a connection must be given up for, or undefined for what the server says about a statement. */
export function connectionError(error: unknown): Error | undefined {
  if (error instanceof DatabaseError) return undefined
  return error instanceof Error ? error : new Error(String(error))
}
