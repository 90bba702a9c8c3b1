import type { GatewayError } from '../contract/errors.ts'
import type { Reply, Target } from '../contract/plugin.ts'
import type { AttemptRun } from './attempt.ts'
import type { ExchangeState } from './exchange.ts'
import { PendingCall, reserve } from './pending-call.ts'
import { ProviderReply } from './provider-reply.ts'
import { runAttempt } from './run-attempt.ts'

interface Success {
  readonly attempt: AttemptRun
  readonly reply: Reply
}

interface Failure {
  readonly attempt: AttemptRun
  readonly error: GatewayError
}

/** The attempt that answered, if one did, and those that failed, in the order in which they did. */
export type EndedAttempt = readonly [winner: Success | undefined, ...failures: Failure[]]

/** What {@link besideOne} needs to make a second attempt. */
export interface Hedging {
  /** The attempt to run. */
  readonly attempt: AttemptRun
  /** How long it may take to the first event of its answer until another begins beside it. */
  readonly afterMs: number
  readonly call: PendingCall
  /** Where the second attempt would go; undefined if nowhere. */
  target(): Target | undefined
  /** Makes the second attempt, once it is reserved. */
  begin(target: Target, call: PendingCall): AttemptRun
}

/**
 * Runs an attempt, and a second one beside it if the first takes long. The first answer wins, the other attempt ends with
 * its upstream call. A failure is waited out by the other, unless the first attempt shows that the request is at fault.
 */
export async function besideOne(exchange: ExchangeState, hedging: Hedging): Promise<EndedAttempt> {
  const first = run(exchange, hedging.attempt)
  const isLate = await endsAfter(exchange, first, hedging.afterMs)
  const second = isLate ? await begin(exchange, hedging, first) : undefined
  if (!second) return endOf(await first.ended)

  const sooner = await Promise.race([first.ended, second.ended])
  const [one, other] = sooner.attempt === first.attempt ? [first, second] : [second, first]
  let end: EndedAttempt
  if ('reply' in sooner || (one === first && sooner.error.retryable === false)) {
    leave(other)
    end = endOf(sooner)
  } else {
    const later = await other.ended
    end = 'reply' in later ? [later, sooner] : [undefined, sooner, later]
  }
  const { begun, record, target } = second.attempt
  const won = end[0]?.attempt === second.attempt
  if (begun) exchange.services.telemetry.recordHedge(target.provider, won ? 'completed' : (record.outcome ?? 'aborted'))
  return end
}

interface Running {
  readonly attempt: AttemptRun
  /** Never rejects. */
  readonly ended: Promise<Success | Failure>
  /** It has ended. */
  isOver: boolean
}

function run(exchange: ExchangeState, attempt: AttemptRun): Running {
  const ended = runAttempt(exchange, attempt).then(
    (reply) => ({ attempt, reply }),
    (error: unknown) => ({ attempt, error: error as GatewayError }),
  )
  const running: Running = { attempt, ended, isOver: false }
  void markEnd(running)
  return running
}

async function markEnd(running: Running): Promise<void> {
  await running.ended
  running.isOver = true
}

function endOf(end: Success | Failure): EndedAttempt {
  return 'reply' in end ? [end] : [undefined, end]
}

/** Whether an attempt takes longer than this. */
async function endsAfter(exchange: ExchangeState, { ended }: Running, delayMs: number): Promise<boolean> {
  let cancel: (() => void) | undefined
  const late = new Promise<true>((resolve) => {
    cancel = exchange.services.clock.after(delayMs, () => resolve(true))
  })
  try {
    return (await Promise.race([late, ended])) === true
  } finally {
    cancel?.()
  }
}

/** Reserves the second attempt, a billable call of its own, and begins it; undefined if it may not be, or is late itself. */
async function begin(exchange: ExchangeState, hedging: Hedging, first: Running): Promise<Running | undefined> {
  const target = hedging.target()
  if (!target) return undefined
  const call = new PendingCall(exchange, hedging.call.request, [target])
  try {
    await reserve(exchange, call)
    exchange.throwIfOver()
  } catch (error) {
    exchange.services.logger.debug({ exchange: exchange.id, target: target.name, error }, 'no hedge')
    return undefined
  }
  return first.isOver ? undefined : run(exchange, hedging.begin(target, call))
}

/** Ends an attempt that came too late, and whatever answer it may still give. */
function leave({ attempt, ended }: Running): void {
  attempt.loses()
  void ended.then((end) => ('reply' in end ? drop(end.reply) : undefined)).catch(() => {})
}

async function drop(reply: Reply): Promise<void> {
  const answer = reply instanceof ProviderReply ? reply.batches : reply.events
  await answer?.[Symbol.asyncIterator]().return?.()
}
