import type { Queryable, Row } from '@hadrian/core/plugin'
import type { AccountKey } from './accounts.ts'
import type { AccountState } from './ledger.ts'

/** What is charged to one account for one exchange. */
export interface ChargeRow {
  readonly exchangeId: string
  /** 0 or more. */
  readonly amountMicros: number
  /** Why it is no more than an estimate: `crash`. */
  readonly estimated?: string
}

/** What an instance says about one account in one statement. */
export interface AccountRequest {
  readonly accountId: string
  /** What the account is, to make it if need be; absent for one that must exist. */
  readonly key?: AccountKey
  readonly limitMicros?: number
  readonly overageMicros?: number
  /** Version of the lease that this was made for; undefined: whatever it is, and every earlier statement is void. */
  readonly version: number | undefined
  /** Reserved, and charged by charges that are not among these. */
  readonly heldMicros: number
  /** What should be free at least, because calls wait for it; as much of it as is left is granted. */
  readonly needMicros: number
  /** What should be free, if it is a fair part of what is left. */
  readonly wantMicros: number
  readonly backMicros: number
  /** Give everything back. */
  readonly close: boolean
  readonly charges: readonly ChargeRow[]
}

/** What became of an {@link AccountRequest}. */
export interface AccountReply extends AccountState {
  /** stale: the version was not that of the lease, and nothing was done. missing: there is no such account. */
  readonly outcome: 'ok' | 'stale' | 'missing'
}

interface ReplyRow extends Row {
  readonly account_id: string
  readonly outcome: AccountReply['outcome']
  readonly lease_version: string | null
  readonly remaining_micros: string | null
  readonly spent_micros: string | null
  readonly leased_micros: string | null
  readonly short: boolean | null
}

/** Rows that pruning deletes per statement, so that none holds the database for long. */
const prunedAtOnce = 5000
/** A statement of an earlier connection may come late, but not this late. */
const closedLeasesKeptMs = 3_600_000

/** The ledger in the database: single statements, each of them a transaction. */
export class LeaseTable {
  readonly #database: Queryable

  constructor(database: Queryable) {
    this.#database = database
  }

  /** Registers an instance, which may then take leases until `expiresAt`, and longer by {@link renew}. */
  async open(instance: string, now: Date, expiresAt: Date): Promise<void> {
    await this.#database.query(
      `insert into budget_instances (id, expires_at, created_at) values ($1, $2, $3) on conflict (id) do nothing`,
      [instance, expiresAt, now],
    )
  }

  /** Says that an instance lives. False if it is closed or unknown: nothing of what it held is its own any more. */
  async renew(instance: string, expiresAt: Date): Promise<boolean> {
    const rows = await this.#database.query(
      'update budget_instances set expires_at = $2 where id = $1 and not closed returning id',
      [instance, expiresAt],
    )
    return rows.length > 0
  }

  /**
   * Writes charges, gives back and takes out money, all at once.
   *
   * @returns undefined if the instance is closed or unknown; nothing was done then
   */
  sync(
    instance: string,
    requests: readonly AccountRequest[],
    now: Date,
  ): Promise<ReadonlyMap<string, AccountReply> | undefined> {
    return this.#sync(instance, requests, now, false)
  }

  /** Writes charges of an instance that has ended. Grants nothing. */
  async replay(
    instance: string,
    charges: ReadonlyMap<string, readonly ChargeRow[]>,
    now: Date,
  ): Promise<ReadonlyMap<string, AccountReply>> {
    const requests = [...charges].map(([accountId, rows]) => ({
      accountId,
      version: undefined,
      heldMicros: 0,
      needMicros: 0,
      wantMicros: 0,
      backMicros: 0,
      close: false,
      charges: rows,
    }))
    return (await this.#sync(instance, requests, now, true)) ?? new Map()
  }

  async #sync(
    instance: string,
    requests: readonly AccountRequest[],
    now: Date,
    isReplay: boolean,
  ): Promise<ReadonlyMap<string, AccountReply> | undefined> {
    const rows = await this.#database.query<ReplyRow>('select * from budget_sync($1, $2, $3, $4)', [
      instance,
      now,
      isReplay,
      JSON.stringify(requests.map(requestBody)),
    ])
    if (rows.length === 0 && requests.length > 0 && !isReplay) return undefined
    return new Map(
      rows.map((row) => [
        row.account_id,
        {
          outcome: row.outcome,
          version: Number(row.lease_version),
          remainingMicros: Number(row.remaining_micros),
          spentMicros: Number(row.spent_micros),
          leasedMicros: Number(row.leased_micros),
          short: row.short ?? false,
        },
      ]),
    )
  }

  /** Gives back all that an instance holds and ends it. May be called again. */
  async close(instance: string, now: Date): Promise<void> {
    await this.#database.query('select budget_close($1, $2)', [instance, now])
  }

  /** Counts leases of lost instances as spent. Returns how many accounts had some. */
  async sweep(now: Date, most: number): Promise<number> {
    const [row] = await this.#database.query<{ changed: number }>('select budget_sweep($1, $2) as changed', [now, most])
    return row?.changed ?? 0
  }

  /** Deletes what nobody needs any more, some of it. Returns whether there may be more. */
  async prune(now: Date, chargesBefore: Date, accountsBefore: Date): Promise<boolean> {
    const closedBefore = new Date(now.getTime() - closedLeasesKeptMs)
    const counts = [
      await this.#delete(
        `delete from budget_charges where (exchange_id, account_id) in (
           select exchange_id, account_id from budget_charges where created_at < $1 order by created_at limit $2
           for update skip locked)`,
        chargesBefore,
      ),
      await this.#delete(
        `delete from budget_leases where (account_id, instance_id) in (
           select lease.account_id, lease.instance_id from budget_leases lease
             join budget_accounts account on account.id = lease.account_id
            where lease.state = 'closed' and lease.updated_at < $1 limit $2
            for update skip locked)`,
        closedBefore,
      ),
      await this.#delete(
        `delete from budget_accounts where id in (
           select id from budget_accounts where ends_at < $1 and leased_micros = 0 limit $2 for update skip locked)`,
        accountsBefore,
      ),
      await this.#delete(
        `delete from budget_instances instance where closed and expires_at < $1
            and not exists (select 1 from budget_leases lease where lease.instance_id = instance.id)
            and id in (select id from budget_instances where closed and expires_at < $1 limit $2 for update skip locked)`,
        closedBefore,
      ),
    ]
    return counts.some((count) => count >= prunedAtOnce)
  }

  async #delete(sql: string, before: Date): Promise<number> {
    const [row] = await this.#database.query<{ count: number }>(
      `with deleted as (${sql} returning 1) select count(*)::int as count from deleted`,
      [before, prunedAtOnce],
    )
    return row?.count ?? 0
  }
}

function requestBody(request: AccountRequest): object {
  const { key } = request
  return {
    id: request.accountId,
    ...(key && {
      kind: key.holderKind,
      holder: key.holderId,
      period: key.period,
      starts: new Date(key.startsAtMs),
      ends: key.endsAtMs === undefined ? null : new Date(key.endsAtMs),
    }),
    limit: request.limitMicros,
    overage: request.overageMicros,
    version: request.version ?? null,
    held: whole(request.heldMicros),
    need: whole(request.needMicros),
    want: whole(request.wantMicros),
    back: whole(request.backMicros),
    close: request.close,
    charges: request.charges.map(({ exchangeId, amountMicros, estimated }) => ({
      exchange: exchangeId,
      amount: whole(amountMicros),
      ...(estimated !== undefined && { estimated }),
    })),
  }
}

/** What PostgreSQL takes as `bigint`, whatever sums up to it. */
function whole(micros: number): number {
  return Math.min(Math.max(Math.round(micros), -Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
}
