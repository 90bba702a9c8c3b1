import type { JsonObject, TargetHealth } from '../contract/plugin.ts'
import { clientAddress } from '../http/address.ts'
import { createApp } from '../http/app.ts'
import type { App } from '../http/app.ts'
import { adminRoutes } from '../http/admin-routes.ts'
import type { Reload } from '../http/admin-routes.ts'
import { docsAsset } from '../http/docs.ts'
import { openApiDocument } from '../http/openapi.ts'
import { kernelRoutes } from '../http/routes.ts'
import { assemble } from './assemble.ts'
import type { Assembly } from './assemble.ts'
import type { LoadedConfig } from './config.ts'
import type { ProcessParts } from './process-parts.ts'

/** One config at work, with everything that a reload makes anew. */
export interface Generation extends Assembly {
  /** Counts from 1. */
  readonly number: number
  readonly loaded: LoadedConfig
  readonly app: App
  /** Resolves when it answers no request and no exchange of it is open. */
  idle(): Promise<void>
}

/** What a generation asks the gateway it is a part of. */
export interface GatewayState {
  readonly isStopping: () => boolean
  readonly reload: Reload
}

/**
 * Sets up one config. Nothing starts and nothing calls it yet.
 *
 * @throws StartupError with everything that keeps it from starting; what was set up is stopped again
 */
export async function createGeneration(
  number: number,
  loaded: LoadedConfig,
  parts: ProcessParts,
  gateway: GatewayState,
): Promise<Generation> {
  const assembly = await assemble(loaded, parts)
  const { plan, pipeline } = assembly
  const { server } = loaded.config
  const { version } = parts
  let openApi: JsonObject | undefined
  const admin = adminRoutes({ plan, generation: number, reload: gateway.reload })
  const pluginRoutes = plan.plugins.flatMap(({ hooks }) => hooks.routes ?? [])
  const app = createApp({
    pipeline,
    routes: [
      ...kernelRoutes({
        catalog: pipeline.services.catalog,
        pipeline,
        targetHealth: assembly.services.get('target-health') as TargetHealth | undefined,
        health: async () => ({ database: await parts.database.healthy() }),
        isReady: () => !gateway.isStopping(),
        openApi: () => (openApi ??= openApiDocument({ version, routes: [...admin, ...pluginRoutes] })),
        docs: docsAsset,
        prometheus: parts.telemetry.prometheus,
        version,
      }),
      ...admin,
      ...pluginRoutes,
    ],
    bodyLimitBytes: server.body_limit_bytes,
    allowAnonymous: server.allow_anonymous,
    keepAliveIntervalMs: server.keep_alive_interval_ms,
    clientAddress: clientAddress(server.trusted_proxies),
    isStopping: gateway.isStopping,
  })
  return {
    ...assembly,
    number,
    loaded,
    app,
    async idle() {
      // A request may open an exchange at any time of its life.
      while (app.open.count > 0 || pipeline.open > 0) await Promise.all([app.open.none(), pipeline.idle()])
    },
  }
}
