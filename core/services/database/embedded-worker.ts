/**
 * Runs PGlite, in a thread of its own: it answers every query in microtasks, so in the main thread busy callers would
 * keep all input and output from running. Speaks PostgreSQL's wire protocol in whole messages.
 */
import { PGlite } from '@electric-sql/pglite'
import { parentPort, workerData } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerSetup } from './embedded-socket.ts'

const port = parentPort
if (port === null) throw new Error('embedded-worker.ts must be run as a worker thread')
const post = (message: FromWorker): void => port.postMessage(message)

const { directory } = workerData as WorkerSetup
const complaints: string[] = []

async function start(): Promise<PGlite> {
  const started = await PGlite.create({
    dataDir: directory,
    onStderr: (line) => {
      complaints.push(line)
      if (complaints.length > 20) complaints.shift()
      return false
    },
  })
  post({ kind: 'ready' })
  return started
}

/** Answers of one batch of messages, copied: PGlite reuses the memory it shows them in. */
async function answer(pglite: PGlite, request: Uint8Array): Promise<void> {
  const parts: Uint8Array[] = []
  // Not `execProtocolRaw`, which also keeps every parsed answer in memory for good.
  await pglite.execProtocolRawStream(request, { syncToFs: false, onRawData: (bytes) => parts.push(bytes.slice()) })
  const response = new Uint8Array(Buffer.concat(parts))
  port?.postMessage({ kind: 'data', bytes: response } satisfies FromWorker, [response.buffer])
}

try {
  const pglite = await start()
  port.on('message', (message: ToWorker) => {
    const done = message.kind === 'close' ? pglite.close().then(() => process.exit(0)) : answer(pglite, message.bytes)
    done.catch((error: unknown) => {
      post({ kind: 'failed', message: describe(error) })
      process.exit(1)
    })
  })
} catch (error) {
  post({ kind: 'failed', message: describe(error) })
}

function describe(error: unknown): string {
  return [error instanceof Error ? error.message : String(error), ...complaints].join('\n')
}
