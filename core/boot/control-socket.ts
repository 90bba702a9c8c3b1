import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { StartupError } from '../services/problems.ts'

/** The kernel takes 108 bytes for a socket's path on Linux and 104 on macOS, the closing NUL included. */
const longestPathBytes = 103

/**
 * Where a gateway with this data directory listens for its operator's commands: `control.sock` in it. Where that path is
 * too long for a socket, one under the temporary directory is made out of it, the same for everybody who asks.
 */
export function controlSocketPath(dataDirectory: string): string {
  const digest = createHash('sha256').update(dataDirectory).digest('hex').slice(0, 16)
  if (process.platform === 'win32') return `\\\\.\\pipe\\hadrian-${digest}`
  const path = join(dataDirectory, 'control.sock')
  if (Buffer.byteLength(path) <= longestPathBytes) return path
  return join(tmpdir(), `hadrian-${process.getuid?.() ?? 0}-${digest}`, 'control.sock')
}

/** Whether a gateway answers at a socket. */
export function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/**
 * Listens on the control socket, which its owner only can open. A socket file that a killed gateway left is replaced.
 *
 * @param listen binds a server to a path, before its first await
 * @throws StartupError if another gateway with this data directory runs
 */
export async function openControlSocket(path: string, listen: (path: string) => Promise<void>): Promise<void> {
  if (process.platform !== 'win32') ownDirectory(dirname(path))
  try {
    await bind(path, listen)
    return
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw socketError(path, error)
  }
  if (await isListening(path))
    throw new StartupError([
      {
        path: dirname(path),
        message: 'a gateway with this data directory is running already',
        hint: 'Stop it, or set HADRIAN_DATA_DIR to another directory.',
      },
    ])
  try {
    unlinkSync(path)
    await bind(path, listen)
  } catch (error) {
    throw socketError(path, error)
  }
}

async function bind(path: string, listen: (path: string) => Promise<void>): Promise<void> {
  // The socket must not be open to others for even a moment.
  const before = process.umask(0o177)
  let bound: Promise<void>
  try {
    bound = listen(path)
  } finally {
    process.umask(before)
  }
  await bound
  if (process.platform !== 'win32') chmodSync(path, 0o600)
}

/** Makes the directory, and refuses one under the temporary directory that somebody else made first. */
function ownDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (dirname(directory) !== tmpdir() || !directory.includes('hadrian-')) return
  const { uid, mode } = lstatSync(directory)
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0)
    throw new StartupError([
      { path: directory, message: 'this directory belongs to somebody else, or others may write to it' },
    ])
}

function socketError(path: string, error: unknown): StartupError {
  return new StartupError([{ path, message: `the control socket cannot be opened: ${(error as Error).message}` }], {
    cause: error,
  })
}
