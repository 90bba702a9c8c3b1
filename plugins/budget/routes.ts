import { invalidRequest, jsonReply, pageBody, readPage } from '@hadrian/core/plugin'
import type { Clock, JsonObject, Queryable, RequestMistake, Route, Row } from '@hadrian/core/plugin'
import { storable } from './accounts.ts'
import { dollars } from './refusals.ts'

interface AccountRow extends Row {
  readonly id: string
  readonly holder_kind: string
  readonly holder_id: string
  readonly period: string
  readonly starts_at: Date
  readonly ends_at: Date | null
  readonly limit_micros: string
  readonly overage_micros: string
  readonly spent_micros: string
  readonly leased_micros: string
  readonly lost_micros: string
  readonly created_at: Date
}

const path = '/admin/v1/budgets'
/** What is left of expired leases is in `spent_micros`, until somebody says what became of it. */
const columns = `account.*, coalesce((
  select sum(lease.remaining_micros) from budget_leases lease
   where lease.account_id = account.id and lease.state = 'expired'), 0) as lost_micros`
/** Accounts of one holder that are shown at once: one for each period, of which there are four. */
const mostOfOne = 100

/** The admin API of accounts. Reads the shared ledger, which knows of each charge some 100 ms after it was made. */
export function budgetRoutes(database: Queryable, clock: Clock): Route[] {
  return [
    {
      method: 'GET',
      path,
      scope: 'admin',
      summary: 'List budget accounts, the newest first; filter by kind, id and period of the holder, and current=true',
      async handle({ query }) {
        const page = readPage(query)
        const { cursor, compare, order } = page
        const params: unknown[] = [page.fetch]
        const conditions = filtersOf(query, clock.now(), params)
        if (cursor) {
          conditions.push(`(created_at, id) ${compare} ($${params.length + 1}, $${params.length + 2})`)
          params.push(cursor.time, cursor.id)
        }
        const rows = await database.query<AccountRow>(
          `select ${columns} from budget_accounts account
           ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
           order by created_at ${order}, id ${order} limit $1`,
          params,
        )
        return jsonReply(pageBody(page, rows, ({ created_at: time, id }) => ({ time, id }), accountBody))
      },
    },
    {
      method: 'GET',
      path: `${path}/:kind/:id`,
      scope: 'admin',
      summary: 'The accounts of one holder in the windows of today',
      async handle({ params: { kind = '', id = '' } }) {
        const rows = await database.query<AccountRow>(
          `select ${columns} from budget_accounts account
            where holder_kind = $1 and holder_id = $2 and starts_at <= $3 and (ends_at is null or ends_at > $3)
            order by created_at desc, id desc limit $4`,
          [storable(kind), storable(id), new Date(clock.now()), mostOfOne],
        )
        return jsonReply({ data: rows.map(accountBody) })
      },
    },
  ]
}

/** A filter that is not known is a mistake: a list that ignores it would show the wrong accounts. */
function filtersOf(query: Readonly<Record<string, string>>, nowMs: number, params: unknown[]): string[] {
  const mistakes: RequestMistake[] = []
  const conditions: string[] = []
  for (const [name, value] of Object.entries(query)) {
    if (name === 'limit' || name === 'cursor') continue
    if (name === 'kind' || name === 'id') {
      params.push(storable(value))
      conditions.push(`holder_${name} = $${params.length}`)
    } else if (name === 'period') {
      params.push(storable(value))
      conditions.push(`period = $${params.length}`)
    } else if (name === 'current' && value === 'true') {
      params.push(new Date(nowMs))
      conditions.push(`(ends_at is null or ends_at > $${params.length})`)
    } else
      mistakes.push({
        path: name.slice(0, 64),
        message:
          name === 'current'
            ? 'must be true'
            : 'is not a known filter; known are kind, id, period, current, limit, cursor',
      })
  }
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return conditions
}

function accountBody(row: AccountRow): JsonObject {
  const stop = Number(row.limit_micros) + Number(row.overage_micros)
  const taken = Number(row.spent_micros) + Number(row.leased_micros)
  return {
    id: row.id,
    kind: row.holder_kind,
    holder_id: row.holder_id,
    period: row.period,
    starts_at: row.starts_at,
    resets_at: row.ends_at,
    limit_usd: dollars(Number(row.limit_micros)),
    overage_usd: dollars(Number(row.overage_micros)),
    spent_usd: dollars(Number(row.spent_micros)),
    reserved_usd: dollars(Number(row.leased_micros)),
    unconfirmed_usd: dollars(Number(row.lost_micros)),
    remaining_usd: dollars(Math.max(0, stop - taken)),
    created_at: row.created_at,
  }
}
