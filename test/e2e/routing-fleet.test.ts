/** One model name in front of six upstreams, five of them in trouble, under load: who gets an answer, what it costs. */

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { definePlugin } from '../../core/contract/plugin.ts'
import type { Database, JsonObject } from '../../core/contract/plugin.ts'
import { eventually, inTurn } from './fleet.ts'
import { startGateway } from './gateway.ts'
import type { RunningGateway } from './gateway.ts'
import { failure, openUpstream, streamed } from './scripted-upstream.ts'
import type { Answer, Piece, ScriptedUpstream, UpstreamCall } from './scripted-upstream.ts'
import { answerIn, chatChunk, defaultAnswer, record } from './wire-answers.ts'

const requests = 2000
const atOnce = 40
const model = 'm'
const prices = { input_per_million: 1000, output_per_million: 2000 }
/** Seven tokens in, five out. */
const costMicros = 17_000
const said = 'Grüße, 世界 🌍!'

/** Gives the test the tables of the gateway. */
const reader = definePlugin({
  name: 'test-reader',
  api: 1,
  options: { type: 'object', properties: {}, additionalProperties: false },
  setup: ({ db }) => {
    database = db
    return {}
  },
})

/** What an upstream does with its n-th call while it is in trouble. */
type Trouble = (call: UpstreamCall, number: number) => Answer

const halfAnswer = record(chatChunk({ role: 'assistant', content: 'Half' }))

const troubles: Readonly<Record<string, Trouble>> = {
  slow: (call) => {
    const answer = answerIn({})(call)
    return { ...answer, body: [pause(30), ...(answer.body as Iterable<Piece>)] }
  },
  flaky: (call, number) => (number % 4 === 0 ? answerIn({})(call) : failure([500, 502, 503][number % 3]!)),
  limited: () => failure(429, {}, { 'retry-after': '1' }),
  cut: (call) =>
    call.json['stream'] === true
      ? streamed([halfAnswer], { ending: 'cut' })
      : { headers: { 'content-type': 'application/json' }, body: ['{"id":"chatcmpl-cut","choices":[{'], ending: 'cut' },
  wrong: () => ({ headers: { 'content-type': 'application/json' }, body: ['<html>Welcome to the portal</html>'] }),
  healthy: (call) => answerIn({})(call),
}
const names = Object.keys(troubles)

/** An upstream with its own books. */
interface Member {
  readonly upstream: ScriptedUpstream
  /** Calls that it gave an answer which makes sense, and sent it whole. */
  completed(): number
  /** Streams that it broke off after their first piece. */
  cutStreams(): number
}

/** While it holds, the upstreams are in trouble. */
let isTroubled = true

async function openMember(trouble: Trouble): Promise<Member> {
  const upstream = await openUpstream()
  const good: UpstreamCall[] = []
  let number = 0
  let cut = 0
  const script = (call: UpstreamCall): Answer => {
    const answer = isTroubled ? trouble(call, number++) : defaultAnswer(call)
    if (answer.ending === 'cut') cut += call.json['stream'] === true ? 1 : 0
    else if (answer.status === undefined && trouble !== troubles['wrong']) good.push(call)
    else if (!isTroubled) good.push(call)
    return answer
  }
  upstream.answer(...Array.from({ length: requests * 4 }, () => script))
  return { upstream, completed: () => good.filter((call) => call.finished()).length, cutStreams: () => cut }
}

/** How a request ended, as its client saw it. */
type Seen = 'answered' | 'broken' | `refused with ${number}`

let running: RunningGateway
let database: Database
let key: { readonly id: string; readonly key: string }
const members = new Map<string, Member>()
const seen: Seen[] = []

before(async () => {
  for (const name of names) members.set(name, await openMember(troubles[name]!))
  const targets = names.map((name) => `${name}/${model}`)
  running = await startGateway({
    isComplete: true,
    overrides: { plugins: [[reader]] },
    config: {
      routing: { retries_per_target: 0, max_attempts: 10 },
      models: { any: { targets }, ...Object.fromEntries(targets.map((target) => [target, { prices }])) },
      providers: Object.fromEntries(
        [...members].map(([name, { upstream }]) => [
          name,
          { type: 'openai', dialects: ['chat'], base_url: `${upstream.url}/v1`, api_key: 'upstream-key' },
        ]),
      ),
      plugins: {
        'target-health': { breaker: { failures: 5, window_seconds: 2, open_seconds: 0.5, max_open_seconds: 2 } },
      },
    },
  })
  const response = await running.post('/admin/v1/api-keys', {
    name: 'load',
    budgets: [{ period: 'monthly', limit_usd: 1_000_000 }],
    rate_limits: { requests_per_minute: 1_000_000, tokens_per_minute: 1_000_000_000, concurrent_requests: 1000 },
  })
  assert.equal(response.status, 201)
  key = (await response.json()) as typeof key
})
after(async () => {
  await running.close()
  for (const { upstream } of members.values()) await upstream.close()
})

/** Half of the requests are streamed, half go to the Responses API, in all four combinations. */
async function ask(number: number): Promise<Seen> {
  const stream = number % 2 === 0
  const isResponses = number % 4 >= 2
  const response = await running.post(
    isResponses ? '/api/v1/responses' : '/api/v1/chat/completions',
    {
      model: 'any',
      stream,
      ...(isResponses ? { input: 'Hello' } : { messages: [{ role: 'user', content: 'Hello' }] }),
    },
    { headers: { authorization: `Bearer ${key.key}` } },
  )
  const text = await response.text()
  if (response.status !== 200) return `refused with ${response.status}`
  if (!stream) return text.includes(said) ? 'answered' : 'broken'
  return /data: \[DONE\]|response\.completed/.test(text) ? 'answered' : 'broken'
}

async function load(count: number): Promise<void> {
  const before = seen.length
  await inTurn(count, atOnce, async (number) => void seen.push(await ask(number)))
  assert.equal(seen.length, before + count)
  await running.ended(seen.length)
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, number) => total + number, 0)
const answered = (): number => seen.filter((each) => each === 'answered').length
const completed = (): number => sum([...members.values()].map((member) => member.completed()))
const cutStreams = (): number => sum([...members.values()].map((member) => member.cutStreams()))

/** Attempts per request, of the exchanges from `from` to before `to`. */
function attemptsOf(from: number, to: number): number {
  const outcomes = running.outcomes.slice(from, to)
  return sum(outcomes.map(({ attempts }) => attempts.length)) / outcomes.length
}

async function breakers(): Promise<Readonly<Record<string, string>>> {
  const response = await fetch(`${running.url}/admin/v1/providers/circuit-breakers`, {
    headers: { authorization: `Bearer ${running.key}` },
  })
  const { data } = (await response.json()) as { readonly data: readonly { provider: string; state: string }[] }
  return Object.fromEntries(
    data.filter(({ provider }) => members.has(provider)).map((each) => [each.provider, each.state]),
  )
}

async function rows(sql: string): Promise<readonly JsonObject[]> {
  return database.query<JsonObject>(sql)
}

/** Compares the tables with what the clients saw and the upstreams sent. */
async function checkBooks(): Promise<void> {
  await eventually(10_000, async () => {
    const [row] = await rows("select count(*)::float8 as count from usage_log_exchanges where requested_model = 'any'")
    const [charged] = await rows('select count(*)::float8 as count from budget_charges')
    const written = Math.min(Number(row!['count']), Number(charged!['count']))
    return written === seen.length ? undefined : `${written} rows of usage or charges for ${seen.length} requests`
  })
  const sums = 'count(*)::float8 as count, coalesce(sum(cost_micros), 0)::float8 as cost'
  const whole = { outcome: 'completed', estimated: false, count: answered(), cost: answered() * costMicros }
  const ended = `select outcome, estimated, ${sums} from usage_log_exchanges group by 1, 2 order by 1`
  const [first, broken, ...others] = await rows(ended)
  assert.deepEqual([first, others], [whole, []])
  assert.deepEqual([broken?.['outcome'], broken?.['count']], broken ? ['failed', cutStreams()] : [undefined, undefined])

  // What failed before its first event is billed to nobody: only the answer that went out is.
  const tries = await rows(
    `select provider, outcome, ${sums} from usage_log_attempts where outcome = 'completed' or cost_micros > 0 group by 1, 2`,
  )
  const delivered = new Map([...members].map(([name, member]) => [name, member.completed()]))
  for (const { provider, outcome, count, cost } of tries)
    if (outcome === 'completed')
      assert.deepEqual([provider, count, cost], [provider, delivered.get(String(provider)), Number(count) * costMicros])
    else assert.deepEqual([provider, count, cost], ['cut', cutStreams(), broken?.['cost']])
  assert.equal(
    sum(tries.filter(({ outcome }) => outcome === 'completed').map(({ count }) => Number(count))),
    completed(),
  )

  const differing = await rows(
    `select e.id from usage_log_exchanges e full join budget_charges c on c.exchange_id = e.id
     where c.amount_micros is distinct from coalesce(e.cost_micros, 0) or c.estimated is not null`,
  )
  assert.deepEqual(differing, [])
  const [account] = await rows('select spent_micros::float8 as spent from budget_accounts')
  assert.equal(account?.['spent'], answered() * costMicros + Number(broken?.['cost'] ?? 0))
}

describe('a fleet of which one member is healthy', () => {
  it('answers every request but those whose stream was cut after its first event', async () => {
    await load(requests)
    assert.deepEqual(
      seen.filter((each) => each !== 'answered'),
      Array.from({ length: cutStreams() }, () => 'broken'),
    )
    // A few, until the breaker of the one that cuts is open, and then one for each probe.
    assert.ok(cutStreams() < 40, `${cutStreams()} streams were cut`)
    assert.equal(completed(), answered())
  })

  it('learns whom to leave alone, so that few attempts are made in vain', () => {
    const early = attemptsOf(0, 100)
    const late = attemptsOf(requests / 2, requests)
    assert.ok(early > 1.05, `${early} attempts per request at first`)
    assert.ok((late - 1) * 2 < early - 1, `${late} attempts per request later, ${early} at first`)
    for (const name of ['flaky', 'limited', 'cut', 'wrong']) {
      const { length } = members.get(name)!.upstream.calls
      assert.ok(length > 0 && length < requests / 10, `${name} was called ${length} times`)
    }
  })

  it('has opened the breakers of those that fail, and of no other', async () => {
    const states = await breakers()
    for (const name of ['cut', 'wrong']) assert.notEqual(states[name], 'closed', name)
    for (const name of ['slow', 'limited', 'healthy']) assert.equal(states[name], 'closed', name)
  })

  it('charges every answer once', checkBooks)

  it('heals: all members answer again, and nothing fails', async () => {
    isTroubled = false
    const before = new Map([...members].map(([name, member]) => [name, member.completed()]))
    await eventually(10_000, async () => {
      await load(80)
      const states = Object.values(await breakers())
      const idle = names.filter((name) => members.get(name)!.completed() === before.get(name))
      return states.every((state) => state === 'closed') && idle.length === 0
        ? undefined
        : `breakers ${states.join(', ')}; no answer of ${idle.join(', ')}`
    })
    const [from, cut] = [seen.length, cutStreams()]
    await load(200)
    assert.deepEqual([attemptsOf(from, seen.length), cutStreams() - cut], [1, 0])
    assert.ok(seen.slice(requests).every((each) => each === 'answered'))
    await checkBooks()
  })
})
