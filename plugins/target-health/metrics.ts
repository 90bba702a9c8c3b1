import type { Services } from '@hadrian/core/plugin'
import type { Targets } from './targets.ts'
import type { TrackedTarget } from './tracked-target.ts'

type Meter = Services['meter']

/** What operators watch. */
export interface HealthMetrics {
  opened(target: TrackedTarget): void
  refused(target: TrackedTarget, reason: string): void
  checked(key: string, passed: boolean, durationMs: number): void
}

/** Models beyond these are `other`: clients choose their names. Only such as have answered are named at all. */
const namedModels = 200
const statusValues = { closed: 0, open: 1, half_open: 2 } as const

/** Counters of the process. Labels are provider, model where it has answered, and a reason. */
export function createMetrics(meter: Meter): HealthMetrics {
  const opened = meter.createCounter('hadrian.target.breaker.opened', {
    description: 'Circuit breakers that opened',
    unit: '{breaker}',
  })
  const refused = meter.createCounter('hadrian.target.refusals', {
    description: 'Attempts held back from a target',
    unit: '{attempt}',
  })
  const checked = meter.createCounter('hadrian.target.checks', { description: 'Health checks', unit: '{check}' })
  const duration = meter.createHistogram('hadrian.target.check.duration', {
    description: 'Duration of health checks',
    unit: 's',
  })
  const named = new Set<string>()
  const labelsOf = ({ provider, model, name, isProven }: TrackedTarget): Record<string, string> => {
    if (isProven && named.size < namedModels) named.add(name)
    return { provider, model: named.has(name) ? model : 'other' }
  }
  return {
    opened: (target) => opened.add(1, labelsOf(target)),
    refused: (target, reason) => refused.add(1, { ...labelsOf(target), reason }),
    checked(key, passed, durationMs) {
      const labels = { check: key, outcome: passed ? 'passed' : 'failed' }
      checked.add(1, labels)
      duration.record(durationMs / 1000, labels)
    },
  }
}

/** Observes the targets: those that have answered, at most 200 of them. Returns a function that ends it. */
export function observeTargets(meter: Meter, targets: Targets): () => void {
  const status = meter.createObservableGauge('hadrian.target.breaker.state', {
    description: 'Circuit breaker of a target: 0 closed, 1 open, 2 half-open',
  })
  const inFlight = meter.createObservableGauge('hadrian.target.in_flight', {
    description: 'Calls under way',
    unit: '{call}',
  })
  const waiting = meter.createObservableGauge('hadrian.target.queue', {
    description: 'Calls that wait for a slot',
    unit: '{call}',
  })
  const slots = meter.createObservableGauge('hadrian.target.slots', {
    description: 'Slots of a limit that are in use',
    unit: '{slot}',
  })
  const health = meter.createObservableGauge('hadrian.target.check.state', {
    description: 'What the last health checks came to: 0 healthy, 1 degraded, 2 open',
  })
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    let shown = 0
    for (const target of targets.all()) {
      if (!target.isProven || ++shown > namedModels) break
      const labels = { provider: target.provider, model: target.model }
      result.observe(status, statusValues[target.breaker.status], labels)
      result.observe(inFlight, target.inFlight, labels)
    }
    for (const pool of targets.pools.values()) {
      result.observe(waiting, pool.waiting, { limit: pool.key })
      result.observe(slots, pool.inUse, { limit: pool.key })
    }
    for (const [key, check] of targets.checks)
      result.observe(health, ['healthy', 'degraded', 'open'].indexOf(check.status), { check: key })
  }
  const gauges = [status, inFlight, waiting, slots, health]
  meter.addBatchObservableCallback(observe, gauges)
  return () => meter.removeBatchObservableCallback(observe, gauges)
}
