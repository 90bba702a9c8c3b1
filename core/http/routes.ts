import type { Catalog, Reply, Route, RouteCall, TargetHealth } from '../contract/plugin.ts'
import { jsonReply } from '../contract/plugin.ts'
import { gatewayError } from '../contract/errors.ts'
import type { JsonObject } from '../contract/canonical.ts'
import type { Pipeline } from '../pipeline/run.ts'
import { explainRoute } from './explain-route.ts'
import { modelListRoutes } from './model-list.ts'
import { apiPrefixes } from './model-routes.ts'

/** What the kernel's own routes show. */
export interface KernelRouteOptions {
  readonly catalog: Catalog
  readonly pipeline: Pipeline
  /** The service `target-health`, if a plugin provides it. */
  readonly targetHealth?: TargetHealth | undefined
  readonly health: () => Promise<Readonly<Record<string, boolean>>>
  /** The process takes new work. */
  readonly isReady: () => boolean
  readonly openApi: () => JsonObject
  readonly docs: (path: string) => { readonly contentType: string; readonly body: Uint8Array } | undefined
  readonly prometheus: (() => Promise<string>) | undefined
  readonly version: string
}

/** The endpoints of the kernel besides model calls. */
export function kernelRoutes(options: KernelRouteOptions): Route[] {
  const { isReady, version } = options
  const health = async (): Promise<Reply> => {
    const states = Object.entries(await options.health())
    const healthy = states.every(([, up]) => up)
    const subsystems = Object.fromEntries(states.map(([name, up]) => [name, { status: up ? 'healthy' : 'unhealthy' }]))
    return jsonReply(
      { status: healthy ? 'healthy' : 'unhealthy', version, subsystems },
      { status: healthy ? 200 : 503 },
    )
  }
  // A database that is away does not stop traffic, so it does not make the gateway unready either.
  const ready = (): Reply =>
    isReady() ? jsonReply({ status: 'ready' }) : jsonReply({ status: 'stopping' }, { status: 503 })
  const docs = (call: RouteCall): Reply => {
    const asset = options.docs(call.params['asset'] ?? '')
    if (!asset) throw gatewayError('not_found', `No such path: ${call.path}`)
    return { status: 200, headers: { 'content-type': asset.contentType }, body: asset.body }
  }
  return [
    ...apiPrefixes.flatMap((prefix) => modelListRoutes(prefix, options)),
    ...apiPrefixes.map((prefix) => explainRoute(prefix, options.pipeline)),
    open('/health', 'State of the gateway and its subsystems', health),
    open('/health/live', 'The process runs', () => jsonReply({ status: 'alive' })),
    open('/health/ready', 'The gateway takes requests', ready),
    open('/openapi.json', 'This API as an OpenAPI document', () => jsonReply(options.openApi())),
    open('/api/docs', 'Documentation of this API', docs),
    open('/api/docs/:asset', 'Files of the documentation', docs),
    ...(options.prometheus
      ? [
          open('/metrics', 'Metrics for Prometheus', async () => ({
            status: 200,
            headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
            body: await options.prometheus!(),
          })),
        ]
      : []),
  ]
}

/** A route open to everybody. */
function open(path: string, summary: string, handle: Route['handle']): Route {
  return { method: 'GET', path, scope: null, summary, handle }
}
