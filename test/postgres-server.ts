/** A real PostgreSQL for tests: a temporary cluster on a loopback port, gone when the process is, however it ends. */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chown, mkdtemp } from 'node:fs/promises'
import { createServer, Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'

export interface PostgresServer {
  /** Of the database `postgres`, as a superuser who needs no password. */
  readonly url: string
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>
  /** Cuts all connections and stays away until `start`, which listens on the same port. */
  halt(): Promise<void>
  start(): Promise<void>
  /** Ends the server and removes its files. May be called again. */
  stop(): Promise<void>
}

/** PostgreSQL refuses to run as root, so then it runs as this user. */
interface Account {
  readonly uid?: number
  readonly gid?: number
}

/**
 * The server ends when its standard input does, which is also when the test process is killed: `read` sees the end, or
 * the word "keep" for a server that will be started again on the same files.
 */
const script = `
trap '' INT TERM HUP
postgres=$1 directory=$2 port=$3
"$postgres" -D "$directory" -p "$port" -k "$directory" -c listen_addresses=127.0.0.1 -c fsync=off \\
  -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 </dev/null 2>&1 &
word=
read -r word
kill -INT $!
wait $!
[ "$word" = keep ] || rm -rf "$directory"
`

/**
 * Starts a cluster of its own. About one second.
 * @throws if PostgreSQL is not installed: the tests that need it must not be skipped
 */
export async function startPostgres(): Promise<PostgresServer> {
  const binaries = findBinaries()
  const account = runningAccount()
  const directory = await mkdtemp(join(tmpdir(), 'hadrian-postgres-'))
  if (account.uid !== undefined) await chown(directory, account.uid, account.gid ?? account.uid)
  const initialise = ['-D', directory, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']
  await promisify(execFile)(join(binaries, 'initdb'), initialise, { ...account, cwd: directory })
  const port = await freePort()
  const url = (name: string): string => `postgresql://postgres@127.0.0.1:${port}/${name}`
  let running: ChildProcess | undefined
  let databases = 0

  const start = async (): Promise<void> => {
    running = await launch([join(binaries, 'postgres'), directory, String(port)], account)
  }
  const end = async (word: string): Promise<void> => {
    const ending = running
    if (ending === undefined) return
    running = undefined
    const ended = new Promise((resolve) => ending.once('exit', resolve))
    ending.ref()
    ending.stdin?.end(`${word}\n`)
    await ended
  }
  await start()
  return {
    url: url('postgres'),
    async createDatabase() {
      const name = `test_${++databases}`
      const client = new Client({ connectionString: url('postgres') })
      await client.connect()
      try {
        await client.query(`create database ${name}`)
      } finally {
        await client.end()
      }
      return url(name)
    },
    halt: () => end('keep'),
    start,
    stop: () => end('remove'),
  }
}

function launch(parameters: string[], account: Account): Promise<ChildProcess> {
  const child = spawn('/bin/sh', ['-c', script, 'postgres-server', ...parameters], {
    ...account,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  return new Promise((resolve, reject) => {
    let ready = false
    child.stdout.on('data', (chunk: Buffer) => {
      // What it says while it ends must not let go of the process that waits for that.
      if (ready) return
      output += chunk.toString()
      if (output.includes('ready to accept connections')) {
        ready = true
        // A test that forgets to stop the server can end nevertheless, and the server with it.
        child.unref()
        for (const pipe of [child.stdin, child.stdout]) if (pipe instanceof Socket) pipe.unref()
        resolve(child)
      }
      // The script waits for its input to end even when the server could not start. Clients that connect again too
      // early are told "the database system is starting up", which is no failure.
      else if (/FATAL: {2}(?!the database system is ).*\n/.test(output)) child.stdin.end()
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`PostgreSQL did not start:\n${output}`)))
  })
}

/** The directory with `initdb` and `postgres`: of the PATH, else the newest of the usual places. */
function findBinaries(): string {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : []
  const candidates = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.sort((a, b) => Number(b) - Number(a)).map((version) => `/usr/lib/postgresql/${version}/bin`),
    '/usr/local/bin',
    '/opt/homebrew/bin',
  ]
  const found = candidates.find((path) => existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres')))
  if (found !== undefined) return found
  throw new Error(
    'These tests need PostgreSQL 15 or newer: its "initdb" and "postgres" are neither in the PATH nor in ' +
      '/usr/lib/postgresql/*/bin.\nInstall it with "apt-get install postgresql" or "brew install postgresql".',
  )
}

function runningAccount(): Account {
  if (process.getuid?.() !== 0) return {}
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const wanted of ['postgres', 'nobody']) {
    const [, , uid, gid] = accounts.find(([name]) => name === wanted) ?? []
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error('PostgreSQL refuses to run as root, and there is no user "postgres" or "nobody" to run it as.')
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
