import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { journalDirectory, leftAt } from './journal-files.ts'

interface Writer {
  /** The numbers it found. */
  readonly left: readonly number[]
  /** Resolves when it has said so many numbers are written. */
  wrote(count: number): Promise<void>
  /** Kills it with -9; resolves to all numbers it has said are written. */
  kill(): Promise<readonly number[]>
}

/** Starts `test/journal-writer.ts`. */
async function startWriter(context: TestContext, directory: string, ...more: readonly string[]): Promise<Writer> {
  const script = fileURLToPath(new URL('../journal-writer.ts', import.meta.url))
  const child = spawn(process.execPath, ['--conditions=hadrian-source', script, directory, ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  context.after(() => void child.kill('SIGKILL'))
  const ended = once(child, 'close')
  const lines = createInterface({ input: child.stdout })
  const [left] = (await once(lines, 'line')) as [string]
  const written: number[] = []
  let told: (() => void) | undefined
  lines.on('line', (line) => {
    written.push(Number(line))
    told?.()
  })
  return {
    left: JSON.parse(left) as number[],
    async wrote(count) {
      while (written.length < count) await new Promise<void>((resolve) => (told = resolve))
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
      return written
    },
  }
}

test('a process killed in the middle of its work leaves everything that was written', async (context) => {
  const directory = journalDirectory(context)
  const expected = new Set<number>()
  for (let round = 0; round < 6; round++) {
    const writer = await startWriter(context, directory, String(round * 1_000_000))
    const found = new Set(writer.left)
    assert.equal(found.size, writer.left.length, 'a record was found twice')
    assert.deepEqual(
      [...expected].filter((number) => !found.has(number)),
      [],
      'written and lost',
    )
    await writer.wrote(300 * (round + 1))
    for (const number of await writer.kill()) expected.add(number)
  }
  const left = new Set((await leftAt(directory, 'numbers')).map(({ number }) => number as number))
  assert(expected.size > 6_000)
  assert.deepEqual(
    [...expected].filter((number) => !left.has(number)),
    [],
  )
})

test('a process killed while it copies and deletes leaves everything that is not released', async (context) => {
  const directory = journalDirectory(context)
  for (let round = 0; round < 4; round++) {
    const writer = await startWriter(context, directory, String(round * 1_000_000), 'release')
    await writer.wrote(3_000 + round * 777)
    const kept = (await writer.kill()).filter((number) => number % 10 === 0)
    const left = (await leftAt(directory, 'numbers')).map(({ number }) => number as number)
    assert.equal(new Set(left).size, left.length, 'a record was found twice')
    const found = new Set(left)
    assert.deepEqual(
      kept.filter((number) => !found.has(number)),
      [],
    )
  }
})

test('what dead processes left is found by exactly one of those that start at once', async (context) => {
  const directory = journalDirectory(context)
  const dying = await Promise.all([1, 2, 3, 4].map((number) => startWriter(context, directory, `${number}000000`)))
  await Promise.all(dying.map((writer) => writer.wrote(50)))
  const living = dying.pop()!
  const written = (await Promise.all(dying.map((writer) => writer.kill()))).flat()

  const adopters = await Promise.all([1, 2, 3].map(() => startWriter(context, directory)))
  const found = adopters.flatMap(({ left }) => left)
  assert.equal(new Set(found).size, found.length, 'a record was found by two processes')
  assert.deepEqual(
    written.filter((number) => !found.includes(number)),
    [],
  )
  assert(
    found.every((number) => number < 4_000_000),
    'a record of a living process was found',
  )
  await Promise.all([...adopters, living].map((writer) => writer.kill()))

  const left = new Set((await leftAt(directory, 'numbers')).map(({ number }) => number as number))
  assert.deepEqual(
    written.filter((number) => !left.has(number)),
    [],
  )
})
