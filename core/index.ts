/** The gateway as a library: make one, start it, stop it. The command line and the testing kit are made of this. */

export { createGateway } from './boot/gateway.ts'
export type { Gateway, GatewayOptions, GatewayOverrides, StartOptions } from './boot/gateway.ts'
export type { ReloadResult } from './http/admin-routes.ts'
export { StartupError, describeProblem } from './services/problems.ts'
export type { Problem } from './services/problems.ts'
export { loadConfig } from './boot/config.ts'
export type { Config, ConfigOptions, LoadedConfig } from './boot/config.ts'
export type { MemoryPlugin, MemoryProvider } from './boot/selection.ts'
export type { Plan, PlanRow } from './pipeline/plan.ts'
