import type { GatewayOptions } from '../boot/gateway.ts'
import type { Input } from './command.ts'
import { text } from './command.ts'

/** The gateway a command means: its `--config` and its environment. */
export function gatewayOptions({ options, environment }: Input): GatewayOptions {
  const configFile = text(options, 'config')
  return { environment, ...(configFile !== undefined && { configFile }) }
}
