import type { HttpServer } from '../http/server.ts'
import { StartupError } from '../services/problems.ts'

/**
 * Listens on the public port.
 *
 * @throws StartupError saying why it cannot, and what to do
 */
export async function listenOnPort(http: HttpServer, host: string, port: number): Promise<{ readonly url: string }> {
  try {
    return await http.listen(host, port)
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    const reasons: Readonly<Record<string, readonly [message: string, hint: string]>> = {
      EADDRINUSE: [
        `port ${port} is in use`,
        'Stop what listens there, or set PORT or server.port to another; 0 takes any that is free.',
      ],
      EACCES: [`port ${port} may not be used by this user`, 'Ports below 1024 need privileges: choose a higher one.'],
      EADDRNOTAVAIL: [`${host} is no address of this machine`, 'Set HOST or server.host; 0.0.0.0 means all addresses.'],
      ENOTFOUND: [`the host name ${host} is not known`, 'Set HOST or server.host; 0.0.0.0 means all addresses.'],
    }
    const [text, hint] = reasons[code] ?? [`cannot listen on ${host}:${port}: ${message}`, undefined]
    throw new StartupError([{ path: 'server', message: text, ...(hint !== undefined && { hint }) }], { cause: error })
  }
}
