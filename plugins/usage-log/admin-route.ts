import type { Route } from '@hadrian/core/plugin'

/** A GET route of administrators. */
export function adminRoute(path: string, summary: string, handle: Route['handle']): Route {
  return { method: 'GET', path: `/admin/v1/usage${path}`, scope: 'admin', summary, handle }
}
