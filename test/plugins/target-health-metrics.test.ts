import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Attributes, BatchObservableCallback, Meter, Observable } from '@opentelemetry/api'
import { createMetrics, observeTargets } from '../../plugins/target-health/metrics.ts'
import { Targets } from '../../plugins/target-health/targets.ts'
import { target } from './target-health-gateway.ts'

const settings = {
  enabled: true,
  failures: 1,
  failureRatio: 0.5,
  minimumCalls: 10,
  windowMs: 10_000,
  openMs: 1000,
  maxOpenMs: 8000,
  degradedRatio: 0.2,
}

/** A meter that writes down what it is told. */
function recordingMeter(): { meter: Meter; told: string[]; observed: () => string[]; callbacks: Set<unknown> } {
  const told: string[] = []
  const callbacks = new Set<BatchObservableCallback>()
  const instrument = (name: string): unknown => ({
    name,
    add: (value: number, labels: Attributes) => told.push(`${name} ${value} ${JSON.stringify(labels)}`),
    record: (value: number, labels: Attributes) => told.push(`${name} ${value} ${JSON.stringify(labels)}`),
  })
  const meter = {
    createCounter: instrument,
    createHistogram: instrument,
    createObservableGauge: instrument,
    addBatchObservableCallback: (callback: BatchObservableCallback) => callbacks.add(callback),
    removeBatchObservableCallback: (callback: BatchObservableCallback) => callbacks.delete(callback),
  } as unknown as Meter
  const observed = (): string[] => {
    const lines: string[] = []
    const observe = (gauge: Observable, value: number, labels: Attributes): void =>
      void lines.push(`${(gauge as unknown as { name: string }).name} ${value} ${JSON.stringify(labels)}`)
    for (const callback of callbacks) void callback({ observe })
    return lines
  }
  return { meter, told, observed, callbacks }
}

it('names only models that have answered, and only so many', () => {
  const { meter, told } = recordingMeter()
  const metrics = createMetrics(meter)
  const targets = new Targets(settings)
  const invented = targets.of(target('fake/invented'))
  const real = targets.of(target('fake/real'))
  targets.prove(real)
  metrics.opened(invented)
  metrics.opened(real)
  metrics.refused(real, 'circuit_open')
  metrics.checked('fake', false, 1500)
  assert.deepEqual(told, [
    'hadrian.target.breaker.opened 1 {"provider":"fake","model":"other"}',
    'hadrian.target.breaker.opened 1 {"provider":"fake","model":"real"}',
    'hadrian.target.refusals 1 {"provider":"fake","model":"real","reason":"circuit_open"}',
    'hadrian.target.checks 1 {"check":"fake","outcome":"failed"}',
    'hadrian.target.check.duration 1.5 {"check":"fake","outcome":"failed"}',
  ])
  for (let model = 0; model < 300; model++) {
    const tracked = targets.of(target(`fake/m${model}`))
    targets.prove(tracked)
    metrics.opened(tracked)
  }
  assert.equal(new Set(told.filter((line) => line.startsWith('hadrian.target.breaker.opened'))).size, 201)
})

it('shows breakers, calls, slots, queues and checks', () => {
  const { meter, observed, callbacks } = recordingMeter()
  const targets = new Targets(settings)
  targets.of(target('fake/invented'))
  const real = targets.of(target('fake/real'))
  targets.prove(real)
  real.inFlight = 3
  real.breaker.end(real.breaker.begin(0), 'failure', false, 0)
  const end = observeTargets(meter, targets)
  assert.deepEqual(observed(), [
    'hadrian.target.breaker.state 1 {"provider":"fake","model":"real"}',
    'hadrian.target.in_flight 3 {"provider":"fake","model":"real"}',
  ])
  end()
  assert.equal(callbacks.size, 0)
})
