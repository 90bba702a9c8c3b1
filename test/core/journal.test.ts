import assert from 'node:assert/strict'
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { JournalEntry } from '../../core/contract/plugin.ts'
import { StartupError } from '../../core/services/problems.ts'
import { memoryJournal } from '../../core/testing/index.ts'
import { journalAt, journalDirectory, leftAt, leftIn, segmentsAt } from './journal-files.ts'
import { journalSuite } from './journal-suite.ts'

journalSuite('a journal on the disk', (context) => {
  const directory = journalDirectory(context)
  return () => {
    const journal = journalAt(directory)
    return { open: (name) => journal.open(name), stop: () => journal.close() }
  }
})

journalSuite('a journal in memory', () => {
  const journal = memoryJournal()
  return () => {
    const process = journal.process()
    return { open: (name) => process.open(name), stop: () => Promise.resolve(process.end()) }
  }
})

/** Records of about 100 bytes, so that ten fill a segment of 1 KiB. */
const record = (number: number) => ({ number, padding: 'x'.repeat(50) })
const small = { segmentBytes: 1_024 }

describe('journal files', () => {
  it('are not there before a channel is opened, are for their owner only, and go when nothing is left', async (context) => {
    const directory = journalDirectory(context)
    const journal = journalAt(directory)
    await journal.close()
    assert(!existsSync(directory))

    const second = journalAt(directory)
    const channel = await second.open('money')
    const entry = channel.append({ a: 1 })
    await channel.written()
    assert.deepEqual(segmentsAt(directory), ['0/00000001.log'])
    assert.equal(statSync(directory).mode & 0o777, 0o700)
    assert.equal(statSync(join(directory, '0')).mode & 0o777, 0o700)
    for (const file of ['0.lock', 'claim.lock', '0/00000001.log'])
      assert.equal(statSync(join(directory, file)).mode & 0o777, 0o600, file)
    channel.release(entry)
    await second.close()
    assert.deepEqual(readdirSync(directory).toSorted(), ['0.lock', 'claim.lock'])
  })

  it('get one write for all appends of a turn', async (context) => {
    const directory = journalDirectory(context)
    const journal = journalAt(directory)
    const channel = await journal.open('money')
    channel.append(record(1))
    channel.append(record(2))
    assert.deepEqual(segmentsAt(directory), [])
    await channel.written()
    const lines = readFileSync(join(directory, '0/00000001.log'), 'utf8').trimEnd().split('\n')
    assert.equal(lines.length, 2)
    assert.match(lines[0]!, /^\d+ \d+ money \{"number":1,/)
    await journal.close()
  })

  it('are deleted when all their records are released, in whatever order', async (context) => {
    const directory = journalDirectory(context)
    const journal = journalAt(directory, small)
    const channel = await journal.open('money')
    const entries: JournalEntry[] = []
    for (let number = 0; number < 35; number++) {
      entries.push(channel.append(record(number)))
      await channel.written()
    }
    assert.equal(segmentsAt(directory).length, 4)
    const [first, ...rest] = entries.toReversed()
    for (const entry of rest) channel.release(entry)
    // What was written last must be on the disk before files go.
    await until(() => segmentsAt(directory).length === 1)
    channel.release(first!)
    await journal.close()
    assert.deepEqual(segmentsAt(directory), [])
  })

  it('stay in proportion to what is not released: a few old records are copied to the newest', async (context) => {
    const directory = journalDirectory(context)
    const journal = journalAt(directory, small)
    const channel = await journal.open('money')
    const kept: JournalEntry[] = []
    for (let number = 0; number < 500; number++) {
      const entry = channel.append(record(number))
      if (number % 50 === 0) kept.push(entry)
      else channel.release(entry)
      await channel.written()
    }
    await until(() => segmentsAt(directory).length <= 6)
    await journal.close()
    const left = await leftAt(directory)
    const keptNumbers = kept.map(({ record: { number } }) => number)
    assert.deepEqual(
      left.map(({ number }) => number).filter((number) => keptNumbers.includes(number)),
      keptNumbers,
    )
    assert(left.length < 50, `${left.length} records are left`)
    const released = journalAt(directory, small)
    for (const entry of (await released.open('money')).left) (await released.open('money')).release(entry)
    await released.close()
    assert.deepEqual(segmentsAt(directory), [])
  })

  it('are warned of when many are kept', async (context) => {
    const journal = journalAt(journalDirectory(context), small)
    const channel = await journal.open('money')
    for (let number = 0; number < 400; number++) {
      channel.append(record(number))
      await channel.written()
    }
    const warnings = journal.log.filter(({ level }) => level === 'warn')
    assert.deepEqual(
      warnings.map(({ message }) => message),
      ['the journal grows: its records are not released', 'the journal grows: its records are not released'],
    )
    assert.deepEqual(Object.keys((warnings[0]!.fields as { unreleased: object }).unreleased), ['money'])
    await journal.close()
  })

  it('keep the records of channels that nobody opens', async (context) => {
    const directory = journalDirectory(context)
    const first = journalAt(directory)
    ;(await first.open('off')).append({ kept: true })
    await first.close()
    for (let start = 0; start < 3; start++) {
      const journal = journalAt(directory)
      const channel = await journal.open('money')
      channel.release(channel.append({ start }))
      await journal.close()
    }
    const last = journalAt(directory)
    await last.open('money')
    const channel = await last.open('off')
    assert.deepEqual(leftIn(channel), [{ kept: true }])
    channel.release(channel.left[0]!)
    await last.close()
    assert.deepEqual(segmentsAt(directory), [])
  })

  it('refuse names and records that would not come back', async (context) => {
    const journal = journalAt(journalDirectory(context))
    for (const name of ['', 'two words', 'a\nb']) await assert.rejects(journal.open(name), TypeError)
    const channel = await journal.open('money')
    assert.throws(() => channel.append({ text: 'x'.repeat(5_000_000) }), RangeError)
    channel.append({ text: 'x'.repeat(4_000_000) })
    await channel.written()
    await journal.close()
    assert.throws(() => channel.append({}), /the journal is closed/)
  })

  it('cannot be opened where there can be no directory, and can when there can', async (context) => {
    const directory = journalDirectory(context)
    let broken = true
    const journal = journalAt(directory, {
      prepare: () => {
        if (broken) throw new StartupError([{ path: directory, message: 'no' }])
      },
    })
    await assert.rejects(journal.open('money'), StartupError)
    broken = false
    assert.deepEqual((await journal.open('money')).left, [])
    await journal.close()
  })
})

describe('damage of a journal file', () => {
  /** One segment of five records as text. */
  const content = async (directory: string): Promise<Buffer> => {
    const journal = journalAt(directory)
    const channel = await journal.open('money')
    for (let number = 0; number < 5; number++) channel.append({ number, text: 'ä€😀' })
    await channel.written()
    const bytes = readFileSync(join(directory, '0/00000001.log'))
    await journal.close()
    return bytes
  }
  const numbers = async (directory: string): Promise<unknown[]> => (await leftAt(directory)).map(({ number }) => number)

  it('at the end costs only the line that was torn, at every byte', async (context) => {
    const directory = journalDirectory(context)
    const bytes = await content(directory)
    const file = join(directory, '0/00000001.log')
    for (let length = 0; length <= bytes.length; length++) {
      mkdirSync(join(directory, '0'), { recursive: true })
      writeFileSync(file, bytes.subarray(0, length))
      const whole = bytes.subarray(0, length).filter((byte) => byte === 0x0a).length
      assert.deepEqual(await numbers(directory), [...Array(whole).keys()], `${length} bytes`)
    }
  })

  it('by zeros at the end costs nothing before them', async (context) => {
    const directory = journalDirectory(context)
    await content(directory)
    appendFileSync(join(directory, '0/00000001.log'), Buffer.alloc(600_000))
    const journal = journalAt(directory)
    assert.equal((await journal.open('money')).left.length, 5)
    assert.deepEqual(
      journal.log.map(({ level, message }) => `${level} ${message}`),
      ['info a journal file ends in a line that was not written whole'],
    )
    await journal.close()
  })

  it('in the middle ends the reading, is reported with its place, and the file is kept', async (context) => {
    const directory = journalDirectory(context)
    const bytes = await content(directory)
    const file = join(directory, '0/00000001.log')
    const second = bytes.indexOf(0x0a) + 1
    for (const [at, value] of [
      [second, bytes[second] === 0x39 ? 0x38 : 0x39],
      [second + 20, 0x00],
      [bytes.indexOf(0x0a, second), 0x20],
    ] as const) {
      const damaged = Buffer.from(bytes)
      damaged[at] = value
      writeFileSync(file, damaged)
      const journal = journalAt(directory)
      const channel = await journal.open('money')
      assert.deepEqual(
        leftIn(channel).map(({ number }) => number),
        [0],
      )
      const [line] = journal.log
      assert.equal(line?.message, 'a journal file is damaged: the rest of it is not read')
      assert.partialDeepStrictEqual(line?.fields, { path: file, position: second, unreadBytes: bytes.length - second })
      channel.release(channel.left[0]!)
      await journal.close()
      assert.deepEqual(readFileSync(`${file}.damaged`), damaged)
      assert.deepEqual(await leftAt(directory), [])
    }
  })

  it('of one file does not keep others from being read', async (context) => {
    const directory = journalDirectory(context)
    const journal = journalAt(directory, small)
    const channel = await journal.open('money')
    for (let number = 0; number < 30; number++) {
      channel.append(record(number))
      await channel.written()
    }
    await journal.close()
    const files = segmentsAt(directory)
    assert(files.length >= 3)
    writeFileSync(join(directory, files[1]!), 'nonsense\n')
    const found = await numbers(directory)
    assert.equal(found[0], 0)
    assert.equal(found.at(-1), 29)
    assert(found.length < 30)
  })
})

/** Lets the event loop turn until something is so. The test's time limit ends a wait in vain. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
