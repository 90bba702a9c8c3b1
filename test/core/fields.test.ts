import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RequestMistake } from '../../core/contract/plugin.ts'
import { isUuid, readTime } from '../../core/contract/plugin.ts'

function read(value: unknown): string | undefined {
  const mistakes: RequestMistake[] = []
  const time = readTime(value, 'at', (mistake) => void mistakes.push(mistake))
  for (const { path } of mistakes) assert.equal(path, 'at')
  return time?.toISOString() ?? mistakes[0]?.message
}

test('a time is a date, or a time with its zone', () => {
  const times = {
    '2030-01-31': '2030-01-31T00:00:00.000Z',
    '2028-02-29': '2028-02-29T00:00:00.000Z',
    '2030-01-31T12:30Z': '2030-01-31T12:30:00.000Z',
    '2030-01-31t12:30:05.25z': '2030-01-31T12:30:05.250Z',
    '2030-01-31 12:30:00+02:00': '2030-01-31T10:30:00.000Z',
  }
  for (const [text, iso] of Object.entries(times)) assert.equal(read(text), iso)
  for (const value of [undefined, null]) assert.equal(read(value), undefined)
})

test('anything else is a mistake', () => {
  const expected = 'must be a date, or a time with its zone: 2030-01-31T12:00:00Z'
  const wrong = [
    '',
    'tomorrow',
    '2030',
    '2030-13-01',
    '2030-02-31',
    '2030-02-29T00:00:00Z',
    '2030-01-31T25:00:00Z',
    '2030-01-31T12:00:00',
    ' 2030-01-31',
    '2030-01-31\n',
    1_900_000_000,
    {},
    ['2030-01-31'],
    new Date(),
  ]
  for (const value of wrong) assert.equal(read(value), expected, JSON.stringify(value))
})

test('a UUID is its usual text', () => {
  for (const value of [crypto.randomUUID(), '7C0F8EE0-0000-0000-0000-00000000000A']) assert.ok(isUuid(value))
  for (const value of ['', 'x', `${crypto.randomUUID()} `, `{${crypto.randomUUID()}}`, 7, null, undefined])
    assert.ok(!isUuid(value))
})
