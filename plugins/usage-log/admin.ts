import { GatewayError } from '@hadrian/core/plugin'
import type { Queryable, Route, Row } from '@hadrian/core/plugin'

/** A database whose absence is 503 for whoever asked. */
export function availableOr503(database: Queryable): Queryable {
  return {
    async query<R extends Row>(sql: string, params?: readonly unknown[]): Promise<R[]> {
      try {
        return await database.query<R>(sql, params)
      } catch (error) {
        if ((error as { code?: unknown }).code !== 'database_unavailable') throw error
        throw new GatewayError('database_unavailable', 503, 'The database cannot be reached; try again later', {
          cause: error,
        })
      }
    },
  }
}

/** A GET route of administrators. */
export function adminRoute(path: string, summary: string, handle: Route['handle']): Route {
  return { method: 'GET', path: `/admin/v1/usage${path}`, scope: 'admin', summary, handle }
}
