import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLifecycle } from '../../core/boot/lifecycle.ts'
import type { Part } from '../../core/boot/lifecycle.ts'
import { systemClock } from '../../core/services/clock.ts'
import { lines, manualClock, problemsOf, recordingLogger } from './boot-fixtures.ts'

function noting(calls: string[], name: string, parts: Partial<Part> = {}): Part {
  return {
    name,
    start: () => void calls.push(`start ${name}`),
    stop: () => void calls.push(`stop ${name}`),
    ...parts,
  }
}

test('parts start in order and stop in reverse order, each once', async () => {
  const calls: string[] = []
  const lifecycle = createLifecycle([noting(calls, 'a'), { name: 'bare' }, noting(calls, 'b')], {
    clock: systemClock,
    logger: recordingLogger(),
  })
  await Promise.all([lifecycle.start(), lifecycle.start()])
  await Promise.all([lifecycle.stop(), lifecycle.stop()])
  await lifecycle.stop()
  assert.deepEqual(calls, ['start a', 'start b', 'stop b', 'stop a'])
})

test('a start that fails stops everything, what had not started too', async () => {
  const calls: string[] = []
  const failing = noting(calls, 'b', { start: () => Promise.reject(new Error('no disk\nmore')) })
  const lifecycle = createLifecycle([noting(calls, 'a'), failing, noting(calls, 'c')], {
    clock: systemClock,
    logger: recordingLogger(),
  })
  assert.deepEqual(lines(await problemsOf(lifecycle.start())), ['b: start failed: no disk'])
  assert.deepEqual(calls, ['start a', 'stop c', 'stop b', 'stop a'])
  await lifecycle.stop()
  assert.equal(calls.length, 4)
})

test('a start that hangs fails at its deadline', async () => {
  const clock = manualClock()
  const hanging: Part = { name: 'plugins.slow', start: () => new Promise(() => clock.advance(5_000)) }
  const lifecycle = createLifecycle([hanging], { clock, logger: recordingLogger(), startTimeoutMs: 5_000 })
  assert.deepEqual(lines(await problemsOf(lifecycle.start())), [
    'plugins.slow: start failed: did not finish within 5 seconds',
  ])
})

test('a stop that throws or hangs is logged and stops nobody else from stopping', async () => {
  const calls: string[] = []
  const clock = manualClock()
  const logger = recordingLogger()
  const lifecycle = createLifecycle(
    [
      noting(calls, 'a'),
      { name: 'hanging', stop: () => new Promise(() => clock.advance(10_000)) },
      {
        name: 'throwing',
        stop: () => {
          throw new Error('oh')
        },
      },
    ],
    { clock, logger },
  )
  await lifecycle.stop()
  assert.deepEqual(calls, ['stop a'])
  assert.deepEqual(
    logger.entries.map(({ level, fields }) => [level, (fields as { part: string }).part]),
    [
      ['error', 'throwing'],
      ['error', 'hanging'],
    ],
  )
})

test('a stop during the start keeps later parts from starting', async () => {
  const calls: string[] = []
  const lifecycle = createLifecycle([noting(calls, 'a', { start: () => void lifecycle.stop() }), noting(calls, 'b')], {
    clock: systemClock,
    logger: recordingLogger(),
  })
  assert.deepEqual(lines(await problemsOf(lifecycle.start())), ['a: the gateway was stopped while it started'])
  assert.deepEqual(calls, ['stop b', 'stop a'])
})
