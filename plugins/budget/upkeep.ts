import type { Clock, Logger } from '@hadrian/core/plugin'
import type { LeaseSync } from './lease-sync.ts'
import type { LeaseTable } from './lease-table.ts'
import type { LocalAccount } from './ledger.ts'
import type { EngineSettings } from './engine.ts'

/** How long an instance that is not heard of keeps its leases. */
export const leaseTtlMs = 60_000
const heartbeatMs = 20_000
const heartbeatRetryMs = 1000
const tickMs = 1000
/** A lease that nobody has used for so long goes back; sooner where little is left, which others may wait for. */
const idleMs = 5000
const scarceIdleMs = 1000
/** Leases of lost instances on accounts that nobody uses are looked for so often, and old rows. */
const sweepMs = 30_000
const pruneMs = 3_600_000
const sweptAtOnce = 500

export interface UpkeepOptions {
  readonly table: LeaseTable
  readonly sync: LeaseSync
  readonly clock: Clock
  readonly logger: Logger
  readonly accounts: Map<string, LocalAccount>
  readonly settings: () => EngineSettings
  readonly instance: () => string
  readonly onClosed: (instance: string) => Promise<void>
}

/** What is done again and again: gives back what is idle, keeps the leases alive, counts those of the lost as spent. */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #cancels = new Map<string, () => void>()
  #stopped = false

  constructor(options: UpkeepOptions) {
    this.#options = options
  }

  /** Until when leases hold that are renewed now. */
  expiry(): Date {
    return new Date(this.#options.clock.now() + leaseTtlMs)
  }

  start(): void {
    this.#later('tick', tickMs, () => this.#tick())
    this.#later('heartbeat', heartbeatMs, () => void this.#heartbeat())
    this.#later('sweep', sweepMs, () => void this.#sweep())
    this.#later('prune', pruneMs, () => void this.#prune())
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
  }

  #later(name: string, delayMs: number, run: () => void): void {
    if (!this.#stopped) this.#cancels.set(name, this.#options.clock.after(delayMs, run))
  }

  #tick(): void {
    const nowMs = this.#options.clock.monotonicMs()
    for (const account of this.#options.accounts.values()) this.#look(account, nowMs)
    this.#later('tick', tickMs, () => this.#tick())
  }

  #look(account: LocalAccount, nowMs: number): void {
    const { sync, accounts } = this.#options
    const isIdle =
      nowMs - account.lastUsedMs >= (account.isScarce ? scarceIdleMs : idleMs) && account.waiters.length === 0
    account.tick(isIdle)
    const isUnused = isIdle && account.holds === 0 && account.pending.length === 0
    if (isUnused && account.leaseClosed && !sync.isDue(account)) accounts.delete(account.key.id)
    else if (isUnused && !account.leaseClosed) {
      account.closeDue = true
      sync.note(account, false)
    } else if (account.freeMicros > (isIdle ? 0 : 4 * account.wantedMicros)) {
      account.giveBack(account.freeMicros - (isIdle ? 0 : 2 * account.wantedMicros))
      sync.note(account, false)
    }
  }

  async #heartbeat(): Promise<void> {
    const { table, sync, onClosed } = this.#options
    const instance = this.#options.instance()
    let nextMs = heartbeatMs
    try {
      const lives = await table.renew(instance, this.expiry())
      sync.noteSuccess()
      if (!lives) await onClosed(instance)
    } catch (error) {
      sync.noteFailure(error)
      nextMs = heartbeatRetryMs
    }
    this.#later('heartbeat', nextMs, () => void this.#heartbeat())
  }

  async #sweep(): Promise<void> {
    const { table, clock, logger } = this.#options
    try {
      const accounts = await table.sweep(new Date(clock.now()), sweptAtOnce)
      if (accounts > 0)
        logger.warn({ accounts }, 'an instance is not heard of; what it may have spent counts as spent until it is')
    } catch {
      // The heartbeat tells of it, and the next sweep is soon.
    }
    this.#later('sweep', sweepMs, () => void this.#sweep())
  }

  async #prune(): Promise<void> {
    const { table, clock, logger, settings } = this.#options
    const now = clock.now()
    let more = false
    try {
      more = await table.prune(
        new Date(now),
        new Date(now - settings().chargesKeptMs),
        new Date(now - settings().accountsKeptMs),
      )
    } catch (error) {
      logger.warn({ error }, 'old rows of the budget ledger could not be deleted; trying again in an hour')
    }
    this.#later('prune', more ? tickMs : pruneMs, () => void this.#prune())
  }
}
