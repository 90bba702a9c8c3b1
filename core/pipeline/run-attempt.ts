import type { Reply } from '../contract/plugin.ts'
import type { AttemptRun } from './attempt.ts'
import type { ExchangeState } from './exchange.ts'
import { callAround } from './hooks.ts'
import type { Step } from './plan.ts'

/**
 * Runs the `attempt` hooks around one try. Any failure of theirs closes the attempt too.
 *
 * @throws GatewayError always; the attempt is closed then
 */
export function runAttempt(exchange: ExchangeState, attempt: AttemptRun): Promise<Reply> {
  const steps = exchange.steps('attempt')
  return steps.length === 0 ? attempt.send() : runAround(exchange, attempt, steps)
}

async function runAround(
  exchange: ExchangeState,
  attempt: AttemptRun,
  steps: readonly Step<'attempt'>[],
): Promise<Reply> {
  const layer = (index: number): Promise<Reply> => {
    const step = steps[index]
    if (!step) return attempt.send()
    return callAround(
      exchange,
      step,
      () => layer(index + 1),
      async (next) => step.call(exchange, attempt, next),
    )
  }
  try {
    return await layer(0)
  } catch (error) {
    throw attempt.fail(error)
  }
}
