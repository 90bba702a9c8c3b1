import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LeaseTable } from '../../plugins/budget/lease-table.ts'
import { decodeRecord, encodeRecord } from '../../plugins/budget/records.ts'
import type { BudgetRecord } from '../../plugins/budget/records.ts'
import { readLeft, replay } from '../../plugins/budget/replay.ts'

const dayMs = 86_400_000
const [instance, other, account] = [1, 2, 3].map((digit) => `00000000-0000-4000-8000-00000000000${digit}`) as [
  string,
  string,
  string,
]

function exchangeId(number: number): string {
  return `10000000-0000-4000-8000-00000000000${number}`
}

function record(kind: 'reservation' | 'settlement', number: number, amountMicros: number, atMs = 0): BudgetRecord {
  return { kind, instance, exchangeId: exchangeId(number), atMs, amountMicros, accounts: [account] }
}

function left(records: readonly BudgetRecord[]): ReturnType<typeof readLeft> {
  return readLeft(
    records.map((each) => ({ record: structuredClone(encodeRecord(each)), json: JSON.stringify(encodeRecord(each)) })),
    35 * dayMs,
  )
}

describe('the journal of a dead process', () => {
  it('is read as it was written', () => {
    for (const each of [
      record('reservation', 1, 5, 7),
      record('settlement', 1, 0),
      { kind: 'instance', instance },
    ] as const)
      assert.deepEqual(decodeRecord(encodeRecord(each)), each)
  })

  it('charges what was settled, and else the sum of what was reserved', () => {
    const { charges, instances } = left([
      { kind: 'instance', instance: other },
      record('reservation', 1, 100),
      record('reservation', 2, 40),
      record('settlement', 1, 30),
      record('reservation', 2, 50),
      record('reservation', 3, 10),
      record('settlement', 3, 0),
    ])
    assert.deepEqual(
      charges.map(({ exchangeId: id, amountMicros, estimated }) => [id, amountMicros, estimated]),
      [
        [exchangeId(1), 30, undefined],
        [exchangeId(3), 0, undefined],
        [exchangeId(2), 90, 'crash'],
      ],
    )
    assert.deepEqual([...instances], [other, instance])
  })

  it('does not charge what its process has written longer ago than charges are kept', () => {
    const { charges, instances } = left([record('reservation', 1, 5, 0), record('reservation', 2, 6, 36 * dayMs)])
    assert.deepEqual(
      charges.map(({ amountMicros }) => amountMicros),
      [6],
    )
    assert.equal(instances.size, 1)
  })

  it('keeps records of which nothing is known', () => {
    const entries = [
      { record: { t: 'z', i: instance } },
      { record: {} },
      { record: { ...encodeRecord(record('reservation', 1, 5)), m: -1 } },
      { record: encodeRecord(record('reservation', 1, 5)) },
    ].map((entry) => ({ ...entry, json: JSON.stringify(entry.record) }))
    const { read, unreadable } = readLeft(entries, dayMs)
    assert.deepEqual([read.length, unreadable], [1, 3])
  })

  it('is charged before anything is given back', async () => {
    const done: string[] = []
    const table = {
      replay: async (_instance: string, charges: ReadonlyMap<string, unknown>) => {
        done.push('charged')
        return new Map([...charges.keys()].map((id) => [id, { outcome: 'missing' }]))
      },
      close: async () => void done.push('closed'),
    } as unknown as LeaseTable
    const report = await replay(
      left([record('reservation', 1, 5), { kind: 'instance', instance: other }]),
      table,
      () => new Date(),
    )
    assert.deepEqual(done, ['charged', 'closed', 'closed'])
    assert.deepEqual(report, { settled: 0, estimated: 1, estimatedMicros: 5, lost: 1 })
  })
})
