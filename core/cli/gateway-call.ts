import { valueAt } from '../boot/config-path.ts'
import { controlSocketPath, isListening } from '../boot/control-socket.ts'
import { dataDirectory } from '../boot/data-directory.ts'
import { StartupError } from '../services/problems.ts'
import type { Input } from './command.ts'
import { callControlSocket } from './control-client.ts'
import type { ControlAnswer } from './control-client.ts'
import { gatewayOptions } from './gateway-options.ts'

/** Sends a request to a gateway as its operator. */
export type Call = (method: string, path: string, body?: object) => Promise<ControlAnswer>

/** Runs `work` against the running gateway, or against one that is started for it alone and does not listen. */
export async function withGateway(input: Input, work: (call: Call) => Promise<number>): Promise<number> {
  const directory = dataDirectory(undefined, input.environment)
  const socket = controlSocketPath(directory)
  const call: Call = (method, path, body) => callControlSocket(socket, method, path, body)
  if (await isListening(socket)) return work(call)
  const { createGateway } = await import('../boot/gateway.ts')
  const gateway = await createGateway({
    ...gatewayOptions(input),
    environment: { ...input.environment, HADRIAN_LOG_LEVEL: input.environment['HADRIAN_LOG_LEVEL'] || 'warn' },
    dataDirectory: directory,
  })
  try {
    await gateway.start({ listen: false, control: true })
    return await work(call)
  } finally {
    await gateway.stop()
  }
}

/**
 * The body of an answer with the status that means success.
 *
 * @throws StartupError with what the gateway says for any other
 */
export function expectStatus(answer: ControlAnswer, status: number): unknown {
  if (answer.status === status || (answer.status >= 200 && answer.status < 300)) return answer.body
  if (isMissingRoute(answer))
    throw new StartupError([
      { path: 'plugins.auth', message: 'this gateway has no API keys: the plugin "auth" is off' },
    ])
  const message = valueAt(answer.body, ['error', 'message'])
  throw new StartupError([
    { path: '', message: typeof message === 'string' ? message : `the gateway answered with status ${answer.status}` },
  ])
}

/** Whether no plugin has this endpoint. */
export function isMissingRoute({ status, body }: ControlAnswer): boolean {
  const message = valueAt(body, ['error', 'message'])
  return status === 404 && typeof message === 'string' && message.startsWith('No such path')
}
