/** Compares what the database says was used and charged with what the clients saw and the upstream billed. */

import assert from 'node:assert/strict'
import type { Seen } from './counted-request.ts'
import { billOf, promptTokens } from './counting-upstream.ts'
import type { Account } from './counting-upstream.ts'
import type { Fleet, FleetKey } from './fleet.ts'

/** One request, whom it was for, and what its client saw. */
export interface Sent {
  readonly number: number
  readonly key: FleetKey
  readonly maxTokens: number
  readonly seen: Seen
  /** Its gateway was killed before the client had seen the end. */
  readonly wasKilled: boolean
}

/** One row of usage, with the sums over its attempts. */
export interface UsageRow {
  readonly id: string
  readonly outcome: string
  readonly estimated: boolean
  readonly input: number
  readonly output: number
  readonly cached: number
  readonly cost: number
  readonly attempt_input: number
  readonly attempt_output: number
  readonly attempt_cost: number
}

/** What one exchange was charged to its accounts. */
export interface ChargeRow {
  readonly id: string
  readonly least: number
  readonly most: number
  readonly estimated: string | null
  readonly holders: readonly string[]
}

export interface Books {
  readonly rows: ReadonlyMap<string, UsageRow>
  readonly charges: ReadonlyMap<string, ChargeRow>
}

export async function readBooks(fleet: Fleet): Promise<Books> {
  const rows = await fleet.query<UsageRow>(
    `select e.id, e.outcome, e.estimated, coalesce(e.input_tokens, 0)::float8 as input,
       coalesce(e.output_tokens, 0)::float8 as output, coalesce(e.cached_tokens, 0)::float8 as cached,
       coalesce(e.cost_micros, 0)::float8 as cost, coalesce(a.input, 0)::float8 as attempt_input,
       coalesce(a.output, 0)::float8 as attempt_output, coalesce(a.cost, 0)::float8 as attempt_cost
     from usage_log_exchanges e left join (
       select exchange_id, sum(input_tokens) as input, sum(output_tokens) as output, sum(cost_micros) as cost
         from usage_log_attempts group by exchange_id) a on a.exchange_id = e.id`,
  )
  const charges = await fleet.query<ChargeRow>(
    `select c.exchange_id as id, min(c.amount_micros)::float8 as least, max(c.amount_micros)::float8 as most,
       min(c.estimated) as estimated, array_agg(a.holder_kind || ' ' || a.holder_id order by a.holder_kind) as holders
     from budget_charges c join budget_accounts a on a.id = c.account_id group by c.exchange_id`,
  )
  return {
    rows: new Map(rows.map((row) => [row.id, row])),
    charges: new Map(charges.map((charge) => [charge.id, charge])),
  }
}

/** The ids of exchanges by the ids that clients gave their requests, as the gateways' logs tell it. */
export function loggedIds(logs: readonly string[]): ReadonlyMap<string, string> {
  const ids = new Map<string, string>()
  for (const line of logs.flatMap((log) => log.split('\n'))) {
    if (!line.includes('"request":"')) continue
    const { exchange, request } = JSON.parse(line) as { exchange?: string; request?: string }
    if (exchange !== undefined && request !== undefined) ids.set(request, exchange)
  }
  return ids
}

const nothing: Account = {
  requests: 0,
  failed: 0,
  maxTokens: 0,
  inputTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  complete: 0,
  billedMicros: 0,
}

/**
 * Checks one exchange that ended while its gateway lived: its charges and its usage are what the upstream counts.
 * Where the upstream could not say its count, because the stream ended early, they are an estimate that says so: at least
 * what the client got, and at most what the upstream sent, and of the input what can be seen of it.
 */
export function checkEnded(sent: Sent, id: string, books: Books, billed: Account = nothing): void {
  const { seen, number } = sent
  const what = `request ${number}, which ended as ${seen.end}`
  const row = books.rows.get(id)
  assert.ok(row, `${what}: no usage`)
  assert.equal(row.attempt_cost, row.cost, what)
  assert.equal(row.attempt_input, row.input, what)
  assert.equal(row.attempt_output, row.output, what)
  assert.equal(row.cost, billOf(row.input, row.cached, row.output), what)
  checkCharge(sent, id, books, row.cost)

  if (seen.end === 'done') assert.equal(row.outcome, 'completed', what)
  if (seen.end === 'failed' || seen.end === 'refused') assert.equal(row.outcome, 'failed', what)
  if (row.estimated) {
    assert.notEqual(seen.end, 'done', what)
    assert.ok(row.output >= seen.tokens, `${what}: ${row.output} tokens, but the client got ${seen.tokens}`)
    assert.ok(row.output <= billed.outputTokens, `${what}: ${row.output} tokens of ${billed.outputTokens} sent`)
    assert.equal(row.input, promptTokens, what)
    assert.equal(row.cached, 0, what)
  } else {
    assert.equal(row.input, billed.inputTokens, what)
    assert.equal(row.output, billed.outputTokens, what)
    assert.equal(row.cached, billed.cachedTokens, what)
    assert.equal(row.cost, billed.billedMicros, what)
  }
}

function checkCharge({ number, key }: Sent, id: string, books: Books, amount: number): void {
  const charge = books.charges.get(id)
  if (!key.hasBudgets) {
    assert.equal(charge, undefined)
    return
  }
  assert.ok(charge, `request ${number}: no charge`)
  assert.deepEqual([charge.least, charge.most, charge.estimated], [amount, amount, null], `request ${number}`)
  assert.deepEqual(charge.holders, holdersOf(key), `request ${number}`)
}

/** What {@link checkInFlight} looks at. */
export interface InFlightBooks {
  readonly books: Books
  /** Exchanges that are accounted for; added to. */
  readonly claimed: Set<string>
  /** Of the upstream, by the number of a request. */
  readonly accounts: ReadonlyMap<number, Account>
}

/**
 * Checks the requests whose gateway was killed before their charge was journalled: what had been reserved is charged and
 * marked, and is not less than what the upstream billed. Clients may know no id, but all requests are of one length and have
 * a maximum of their own, so the amount tells which one it was.
 *
 * @returns how many were charged so
 */
export function checkInFlight(
  inFlight: readonly Sent[],
  idOf: (sent: Sent) => string | undefined,
  { books, claimed, accounts }: InFlightBooks,
): number {
  const outputOf = ({ maxTokens }: Sent): number => billOf(0, 0, maxTokens)
  const crashed = [...books.charges.values()].filter(({ estimated }) => estimated !== null)
  const known = new Map(inFlight.map((sent) => [idOf(sent), sent]))
  const inputs = new Set(crashed.flatMap(({ id, most }) => (known.has(id) ? [most - outputOf(known.get(id)!)] : [])))
  assert.equal(inputs.size, 1, `the input was reserved at ${[...inputs].join(', ')}`)
  const [input] = [...inputs] as [number]
  const byAmount = new Map(inFlight.map((sent) => [outputOf(sent) + input, sent]))
  const charged = new Set<Sent>()
  for (const { id, least, most, estimated, holders } of crashed) {
    claimed.add(id)
    const sent = byAmount.get(most)
    assert.ok(sent, `a charge of ${most} for no request that was in flight`)
    assert.ok(!charged.has(sent), `request ${sent.number} was charged twice`)
    charged.add(sent)
    assert.ok(idOf(sent) === undefined || idOf(sent) === id)
    assert.deepEqual([estimated, least, holders], ['crash', most, holdersOf(sent.key)])
    assert.ok(most >= (accounts.get(sent.number)?.billedMicros ?? 0), `request ${sent.number}`)
  }
  for (const sent of inFlight) {
    const billed = accounts.get(sent.number)
    if (charged.has(sent) || !billed?.billedMicros) continue
    // It had been charged, and what the client was told of it was lost with the process.
    assert.equal(idOf(sent), undefined, `request ${sent.number}: no charge for ${billed.billedMicros}`)
    const row = [...books.rows.values()].find(
      ({ id, estimated, output, cost }) =>
        !claimed.has(id) &&
        (estimated ? output <= billed.outputTokens : output === billed.outputTokens && cost === billed.billedMicros) &&
        books.charges.get(id)?.holders.join() === holdersOf(sent.key).join(),
    )
    assert.ok(row, `request ${sent.number}: nothing for ${billed.billedMicros}`)
    claimed.add(row.id)
    checkCharge(sent, row.id, books, row.cost)
  }
  return crashed.length
}

function holdersOf(key: FleetKey): readonly string[] {
  return [`organization ${key.organizationId}`, `principal ${key.id}`, `project ${key.projectId}`]
}

/** Sums of the database over everything, which no single exchange shows. */
export interface Sums {
  readonly accounts: readonly { readonly holder: string; readonly spent: number; readonly leased: number }[]
  /** What was charged, by holder. */
  readonly charged: ReadonlyMap<string, number>
}

export async function readSums(fleet: Fleet): Promise<Sums> {
  const accounts = await fleet.query<Sums['accounts'][number]>(
    `select holder_kind || ' ' || holder_id as holder, spent_micros::float8 as spent, leased_micros::float8 as leased
       from budget_accounts`,
  )
  const charged = await fleet.query<{ holder: string; sum: number }>(
    `select a.holder_kind || ' ' || a.holder_id as holder, sum(c.amount_micros)::float8 as sum
       from budget_charges c join budget_accounts a on a.id = c.account_id group by 1`,
  )
  return { accounts, charged: new Map(charged.map(({ holder, sum }) => [holder, sum])) }
}

/** Checks that both tables of sums, of each caller and of all together, say what the rows say. */
export async function checkRollups(fleet: Fleet): Promise<void> {
  const [rows] = await fleet.query<object>(
    `select count(*)::float8 as requests, sum(input_tokens)::float8 as input, sum(output_tokens)::float8 as output,
       sum(cost_micros)::float8 as cost, count(*) filter (where estimated)::float8 as estimated,
       count(*) filter (where outcome = 'aborted')::float8 as aborted,
       count(*) filter (where outcome = 'failed')::float8 as failed
     from usage_log_exchanges`,
  )
  for (const table of ['usage_log_hours', 'usage_log_days'])
    for (const all of ['=', '<>']) {
      const [sums] = await fleet.query<object>(
        `select sum(requests)::float8 as requests, sum(input_tokens)::float8 as input,
           sum(output_tokens)::float8 as output, sum(cost_micros)::float8 as cost, sum(estimated)::float8 as estimated,
           sum(aborted)::float8 as aborted, sum(failed)::float8 as failed
         from ${table} where caller_id ${all} '00000000-0000-0000-0000-000000000000'`,
      )
      assert.deepEqual(sums, rows, `${table}, caller ${all} zeros`)
    }
  const usage = await fleet.admin<Record<string, number>>(0, 'GET', '/usage')
  const { requests, cost } = rows as Record<string, number>
  assert.deepEqual([usage['request_count'], usage['cost_micros']], [requests, cost])
}
