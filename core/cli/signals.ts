import { closeSync, openSync } from 'node:fs'
import type { Input } from './command.ts'

/** What the signals of a running gateway ask for. */
export interface Signals {
  /** Resolves at the first signal to stop; a second one ends the process at once. */
  readonly stopping: Promise<'signalled'>
  /** What SIGHUP does from now on; until then it does nothing. */
  readonly onReload: (reload: () => void) => void
}

/** One press of Ctrl-C may arrive several times, through the terminal, npm and the launcher. */
const sameSignalMs = 300

/** Listens to SIGINT, SIGTERM and SIGHUP. */
export function listenToSignals({ say }: Input): Signals {
  const stopping = Promise.withResolvers<'signalled'>()
  const hadTerminal = hasTerminal()
  let reload: (() => void) | undefined
  let firstAt: number | undefined
  const stop = (signal: NodeJS.Signals): void => {
    const now = performance.now()
    if (firstAt === undefined) {
      firstAt = now
      say('Stopping: waiting for open requests. Once more to stop at once.')
      stopping.resolve('signalled')
    } else if (now - firstAt > sameSignalMs) process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  process.on('SIGHUP', () => {
    // The same signal says that the terminal is gone: nobody would ever stop this process.
    if (process.platform === 'win32' || (hadTerminal && !hasTerminal())) stop('SIGHUP')
    else reload?.()
  })
  // The launcher is gone without a word: nobody else would ever stop this process.
  process.once('disconnect', () => stop('SIGTERM'))
  process.channel?.unref()
  return {
    stopping: stopping.promise,
    onReload: (next) => {
      reload = next
    },
  }
}

/** Whether the process can be reached from a terminal. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}
