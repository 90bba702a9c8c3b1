import { Client } from 'pg'
import type { ClientConfig } from 'pg'
import type { Clock, Logger } from '../../contract/plugin.ts'
import { Channels } from './channels.ts'

const firstDelayMs = 100
const longestDelayMs = 10_000
/** A dead network shows itself only to who sends: without this a listener may wait in vain for hours. */
const heartbeatMs = 30_000

/** LISTEN on a connection of its own, made on first use and made again, forever, after it was lost. */
export class PostgresListener {
  readonly #config: ClientConfig
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #channels: Channels
  #client: Client | undefined
  #connecting: Promise<void> | undefined
  #established = false
  #closed = false
  #failures = 0
  #cancelTimer = (): void => undefined

  constructor(config: ClientConfig, clock: Clock, logger: Logger) {
    this.#config = { ...config, query_timeout: 10_000 }
    this.#clock = clock
    this.#logger = logger
    this.#channels = new Channels(logger)
  }

  /** Rejects if the first connection of all cannot be made; later ones are waited for in the background. */
  async listen(
    channel: string,
    callback: (payload: string) => void,
    missed: (() => void) | undefined,
  ): Promise<() => Promise<void>> {
    if (!this.#established) {
      this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined))
      await this.#connecting
    }
    return this.#channels.subscribe(channel, callback, missed)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTimer()
    this.#channels.detach()
    await this.#client?.end()
  }

  async #connect(): Promise<void> {
    const client = new Client(this.#config)
    client.on('error', (error) => this.#logger.debug({ error }, 'the connection for database notifications failed'))
    client.on('notification', ({ channel, payload }) => this.#channels.deliver(channel, payload ?? ''))
    try {
      await client.connect()
      if (this.#closed) throw new Error('Connection terminated')
      this.#client = client
      this.#established = true
      this.#failures = 0
      client.once('end', () => this.#lost(client))
      await this.#channels.attach((sql) => client.query(sql))
      this.#beat(client)
    } catch (error) {
      await client.end().catch(() => undefined)
      throw error
    }
  }

  #lost(client: Client): void {
    if (this.#closed || this.#client !== client) return
    this.#client = undefined
    this.#channels.detach()
    this.#logger.warn({}, 'the connection for database notifications was lost; connecting again')
    this.#retry()
  }

  #retry(): void {
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** this.#failures++)
    this.#cancelTimer()
    this.#cancelTimer = this.#clock.after(delayMs, () => {
      this.#connect().then(
        () => this.#logger.info({}, 'the connection for database notifications is back'),
        (error: unknown) => {
          this.#logger.debug({ error }, 'the connection for database notifications could not be made')
          // A connection that was made and then lost has started its own retry.
          if (!this.#closed && this.#client === undefined) this.#retry()
        },
      )
    })
  }

  #beat(client: Client): void {
    if (this.#closed || this.#client !== client) return
    this.#cancelTimer()
    this.#cancelTimer = this.#clock.after(heartbeatMs, () => {
      client.query('select 1').then(
        () => this.#beat(client),
        () => client.end().catch(() => undefined),
      )
    })
  }
}
