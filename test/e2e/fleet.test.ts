/**
 * Three gateway processes on one PostgreSQL, one of them killed under load and started again: what was charged is what the
 * upstream billed.
 *
 * `FLEET_REQUESTS` is the number of streamed requests of the load, 10,000 by default.
 */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { sendCounted } from './counted-request.ts'
import type { Seen } from './counted-request.ts'
import type { Script } from './counting-upstream.ts'
import { checkEnded, checkInFlight, checkRollups, loggedIds, readBooks, readSums } from './fleet-books.ts'
import type { Sent } from './fleet-books.ts'
import { eventually, inTurn, model, randomOf, startFleet } from './fleet.ts'
import type { Fleet, FleetKey, OwnLimits } from './fleet.ts'
import type { ServedProcess } from './served-process.ts'

const total = Number(process.env['FLEET_REQUESTS'] ?? 10_000)
const clients = 120
const victim = 2
/** Each request has a maximum of its own, so that what was reserved for it tells which one it was. */
const leastMaximum = 1000

interface Plan extends Script {
  readonly leaveAfter?: number
}

/** What becomes of a request of the load: the same in each run. */
function planOf(number: number): Plan {
  const random = randomOf(number)
  const tokens = 1 + Math.floor(random() * 24)
  const fate = random()
  const usual = { tokens, pauseMs: Math.floor(random() ** 2 * 20), cachedTokens: Math.floor(random() * 10) }
  if (fate < 0.01) return { ...usual, leaveAfter: 0 }
  if (fate < 0.1) return { ...usual, tokens: tokens + 4, pauseMs: 5, leaveAfter: Math.ceil(random() * tokens) }
  if (fate < 0.13) return { ...usual, failures: 1 }
  if (fate < 0.135) return { ...usual, failures: 2 }
  if (fate < 0.145) return { ...usual, tokens: tokens + 4, pauseMs: 5, cutAfter: 1 + Math.floor(random() * tokens) }
  return usual
}

describe('a fleet of three gateways under load, one of which is killed', { timeout: 280_000 }, () => {
  const ends: (() => unknown)[] = []
  const scripts = new Map<number, Script>()
  const logs: string[] = []
  let fleet: Fleet
  let keys: readonly FleetKey[]
  let first: ServedProcess
  const sent: Sent[] = []
  /** Requests of the first process to be killed whose answer has begun. */
  const open = new Set<number>()
  let killed = false
  let restarted: Promise<void> | undefined

  before(async () => {
    const context = { after: (end: () => unknown) => void ends.push(end) }
    fleet = await startFleet(context, 3, (number) => scripts.get(number) ?? planOf(number))
    first = fleet.gateways[victim]!
    const limits = (period: string): OwnLimits => ({
      budgets: [{ period, limit_usd: 1_000_000 }],
      rate_limits: { requests_per_minute: 1_000_000, tokens_per_minute: 1_000_000_000, concurrent_requests: 10_000 },
    })
    const made = { organization: limits('monthly'), project: limits('total'), key: limits('total') }
    keys = [...(await fleet.keys('one', made, 3)), ...(await fleet.keys('two', made, 3))]
  })

  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  async function killAndRestart(): Promise<void> {
    killed = true
    await fleet.kill(victim)
    logs.push(fleet.gateways[victim]!.stderr())
    await fleet.restart(victim)
  }

  async function sendOne(number: number): Promise<void> {
    const key = keys[number % keys.length]!
    const maxTokens = leastMaximum + number
    const { leaveAfter, ...script } = planOf(number)
    const arrived = Promise.withResolvers<void>()
    const left = Promise.withResolvers<void>()
    if (leaveAfter === 0) scripts.set(number, { ...script, arrived: arrived.resolve, gate: left.promise })
    for (let index = number % 3; ; index = (index + 1) % 3) {
      const process = fleet.gateways[index]!
      const isVictim = process === first
      // Only the log could tell which exchange it was, and its last lines die with the process.
      if (leaveAfter === 0 && isVictim) continue
      const seen = await sendCounted({
        url: process.url,
        key: key.key,
        model,
        number,
        maxTokens,
        ...(leaveAfter !== undefined && { leaveAfter }),
        ...(leaveAfter === 0 && { arrived: arrived.promise, requestId: `early-${number}` }),
        onHead: () => void (isVictim && open.add(number)),
      })
      left.resolve()
      open.delete(number)
      if (seen.end === 'unreachable') continue
      const hasEnd = seen.end === 'done' || seen.end === 'refused' || seen.end === 'failed'
      sent.push({ number, key, maxTokens, seen, wasKilled: isVictim && (killed ? !hasEnd : seen.end === 'left') })
      break
    }
    if (sent.length > total * 0.4 && !killed && open.size >= 5) restarted = killAndRestart()
  }

  it('streams to the end', async (context) => {
    const startedMs = performance.now()
    await inTurn(total, clients, sendOne)
    assert.ok(restarted, 'nothing was killed')
    await restarted
    const seconds = (performance.now() - startedMs) / 1000
    const count = (end: Seen['end']): number => sent.filter(({ seen }) => seen.end === end).length
    context.diagnostic(
      `${total} requests in ${seconds.toFixed(1)} s: ${count('done')} done, ${count('left')} left, ` +
        `${count('refused')} refused, ${count('failed')} failed, ${count('broken')} broken`,
    )
    assert.equal(sent.length, total)
    assert.ok(count('left') > total * 0.08)
    for (const { number, seen, wasKilled } of sent) {
      const { failures = 0, cutAfter, leaveAfter } = planOf(number)
      if (wasKilled) continue
      const expected = failures > 1 ? 'refused' : cutAfter ? 'failed' : leaveAfter === undefined ? 'done' : 'left'
      assert.equal(seen.end, expected, `request ${number}: ${JSON.stringify(seen)}`)
    }
  })

  it('writes everything, gives back every lease and every slot', async () => {
    await eventually(60_000, async () => {
      const [count] = await fleet.query<{ leased: number; remaining: number; rows: number }>(
        `select (select sum(leased_micros) from budget_accounts)::float8 as leased,
           (select coalesce(sum(remaining_micros), 0) from budget_leases)::float8 as remaining,
           (select count(*) from usage_log_exchanges)::float8 as rows`,
      )
      const { leased, remaining, rows } = count!
      if (leased > 0 || remaining > 0) return `${leased} micro-dollars leased, ${remaining} left of leases`
      const certain = sent.filter(({ wasKilled }) => !wasKilled).length
      if (rows < certain) return `only ${rows} rows of usage for ${certain} exchanges`
      const { data } = await fleet.admin<{ data: { limit: string; used: number }[] }>(1, 'GET', '/rate-limits')
      const slots = data.find(({ limit, used }) => limit === 'concurrent_requests' && used > 0)
      return slots && `slots are held: ${JSON.stringify(slots)}`
    })
  })

  it('has charged what the upstream billed', async (context) => {
    const books = await readBooks(fleet)
    const early = loggedIds([...logs, ...fleet.gateways.map((gateway) => gateway.stderr())])
    const claimed = new Set<string>()
    const idOf = ({ number, seen }: Sent): string | undefined => seen.id ?? early.get(`early-${number}`)
    const inFlight: Sent[] = []
    let estimated = 0
    for (const each of sent) {
      const id = idOf(each)
      // The row of usage may have been journalled, and then the process died before the charge was.
      const isCharged = id !== undefined && books.rows.has(id) && books.charges.get(id)?.estimated === null
      if (each.wasKilled && !isCharged) {
        inFlight.push(each)
        continue
      }
      assert.ok(id !== undefined, `nobody knows the exchange of request ${each.number}`)
      claimed.add(id)
      const billed = fleet.upstream.accounts.get(each.number)
      checkEnded(each, id, books, billed)
      if (billed) assert.equal(billed.maxTokens, each.maxTokens, `request ${each.number} was clamped`)
      if (books.rows.get(id)!.estimated) estimated++
    }
    const exact = claimed.size - estimated
    const crashed = checkInFlight(inFlight, idOf, { books, claimed, accounts: fleet.upstream.accounts })
    for (const id of [...books.rows.keys(), ...books.charges.keys()])
      assert.ok(claimed.has(id), `exchange ${id} is nobody's`)
    context.diagnostic(`${exact} exact, ${estimated} estimated, ${crashed} charged as reserved`)
    assert.ok(crashed >= 5)
  })

  it('shows the sums of all that in the accounts and in the usage', async () => {
    const { accounts, charged } = await readSums(fleet)
    assert.equal(accounts.length, keys.length + 4)
    for (const { holder, spent, leased } of accounts) {
      assert.equal(spent, charged.get(holder), holder)
      assert.equal(leased, 0, holder)
    }
    const { data } = await fleet.admin<{
      data: { kind: string; holder_id: string; spent_usd: number; reserved_usd: number; unconfirmed_usd: number }[]
    }>(1, 'GET', '/budgets')
    assert.equal(data.length, accounts.length)
    for (const { kind, holder_id: holder, spent_usd: spent, reserved_usd: reserved, unconfirmed_usd: lost } of data)
      assert.deepEqual([spent, reserved, lost], [charged.get(`${kind} ${holder}`)! / 1_000_000, 0, 0])
    await checkRollups(fleet)
  })
})
