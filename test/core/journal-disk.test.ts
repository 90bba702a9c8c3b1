import assert from 'node:assert/strict'
import { closeSync, cpSync, openSync, readdirSync, readlinkSync, renameSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JournalChannel, JournalEntry } from '../../core/contract/plugin.ts'
import { FakeClock } from '../../core/testing/index.ts'
import { journalAt, journalDirectory, leftAt, segmentsAt } from './journal-files.ts'

const linux = { skip: process.platform !== 'linux' && 'needs /proc and /dev/full' }

/**
 * Puts another file behind the descriptor of the open segment, as far as this process goes: what the journal writes then
 * meets the errors of the system, not those of a stand-in.
 */
function swap(descriptor: number, path: string, flags: string): void {
  closeSync(descriptor)
  assert.equal(openSync(path, flags), descriptor, 'another file took the descriptor')
}

function descriptorOf(path: string): number {
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`) === path) return Number(name)
    } catch {
      // The descriptor of the directory itself is gone by now.
    }
  }
  throw new Error(`${path} is not open`)
}

/** A journal whose first record is on the disk, nothing waiting. */
async function started(directory: string, options: Parameters<typeof journalAt>[1] = {}) {
  const clock = new FakeClock()
  const journal = journalAt(directory, { sync: 'request', clock, ...options })
  const channel = await journal.open('money')
  const first = channel.append({ number: 1 })
  await channel.written()
  const segment = join(directory, segmentsAt(directory)[0]!)
  return { clock, journal, channel, first, segment, descriptor: descriptorOf(segment) }
}

const numbersAt = async (directory: string): Promise<unknown[]> => (await leftAt(directory)).map(({ number }) => number)

/** Moves the clock to the next try and waits for what comes of it. */
async function untilWritten(clock: FakeClock, channel: JournalChannel): Promise<void> {
  for (;;) {
    await clock.advance(1_000)
    try {
      await channel.written()
      return
    } catch {
      // The next try is due in a second.
    }
  }
}

test('a full disk is said to whoever waits, logged once, and tried again every second', linux, async (context) => {
  const directory = journalDirectory(context)
  const { clock, journal, channel, segment, descriptor } = await started(directory)
  swap(descriptor, '/dev/full', 'r+')
  channel.append({ number: 2 })
  await assert.rejects(channel.written(), (error: Error) => {
    assert.match(error.message, /^the journal cannot be written: ENOSPC/)
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOSPC')
    return true
  })
  const dropped = channel.append({ number: 3 })
  await assert.rejects(channel.written(), /ENOSPC/)
  channel.release(dropped)
  await clock.advance(1_000)
  await assert.rejects(channel.written(), /ENOSPC/)
  assert.deepEqual(
    journal.log.map(({ level, message }) => `${level} ${message}`),
    ['error the journal cannot be written'],
  )

  swap(descriptor, segment, 'r+')
  channel.append({ number: 4 })
  await assert.rejects(channel.written(), /ENOSPC/)
  await clock.advance(1_000)
  await channel.written()
  assert.deepEqual(
    journal.log.map(({ level, message }) => `${level} ${message}`),
    ['error the journal cannot be written', 'info the journal is written again'],
  )
  channel.append({ number: 5 })
  await channel.written()
  await journal.close()
  assert.deepEqual(await numbersAt(directory), [1, 2, 4, 5])
})

test('what waits for a full disk is bounded, and what is released makes room', linux, async (context) => {
  const directory = journalDirectory(context)
  const { clock, journal, channel, segment, descriptor } = await started(directory, { waitingLimit: 10_000 })
  swap(descriptor, '/dev/full', 'r+')
  const entries: JournalEntry[] = []
  const fill = (): void => {
    for (;;) entries.push(channel.append({ number: entries.length + 2, padding: 'x'.repeat(900) }))
  }
  assert.throws(fill, /takes no more records: 11 wait for the disk/)
  await assert.rejects(channel.written(), /ENOSPC/)
  assert.equal(entries.length, 11)
  for (const entry of entries.slice(0, 8)) channel.release(entry)
  assert.throws(fill, /takes no more records/)
  assert.equal(entries.length, 19)
  swap(descriptor, segment, 'r+')
  await untilWritten(clock, channel)
  await journal.close()
  assert.deepEqual(await numbersAt(directory), [1, ...Array.from({ length: 11 }, (_, index) => index + 10)])
})

test('a file that cannot be written is left for another, with what it held', linux, async (context) => {
  const directory = journalDirectory(context)
  const { clock, journal, channel, descriptor } = await started(directory)
  swap(descriptor, '/dev/null', 'r')
  channel.append({ number: 2 })
  await assert.rejects(channel.written(), /EBADF/)
  await untilWritten(clock, channel)
  await journal.close()
  assert.deepEqual(await numbersAt(directory), [1, 2])
})

test(
  'a sync that fails makes no record count as written, and each is written again elsewhere',
  linux,
  async (context) => {
    const directory = journalDirectory(context)
    const { clock, journal, channel, first, descriptor } = await started(directory)
    // Takes every write, keeps nothing, and cannot be synced.
    swap(descriptor, '/dev/null', 'r+')
    channel.append({ number: 2 })
    await assert.rejects(channel.written(), /the journal cannot be written: EINVAL/)
    channel.append({ number: 3 })
    channel.release(first)
    await untilWritten(clock, channel)
    await journal.close()
    assert.deepEqual(await numbersAt(directory), [2, 3])
  },
)

test(
  'in the background, records count as written before the sync, which follows 10 ms later',
  linux,
  async (context) => {
    const directory = journalDirectory(context)
    const { clock, journal, channel, descriptor } = await started(directory, { sync: 'background' })
    swap(descriptor, '/dev/null', 'r+')
    channel.append({ number: 2 })
    await channel.written()
    await clock.advance(9)
    assert.equal(journal.log.length, 0)
    await clock.advance(1)
    while (journal.log.at(-1) === undefined) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(journal.log.at(-1)?.message, 'the journal cannot be written')
    await assert.rejects(channel.written(), /EINVAL/)
    await untilWritten(clock, channel)
    await journal.close()
    assert.deepEqual(await numbersAt(directory), [1, 2])
  },
)

test('a segment that was copied is deleted when the copy is on the disk, not before', async (context) => {
  const directory = journalDirectory(context)
  const clock = new FakeClock()
  const journal = journalAt(directory, { clock, segmentBytes: 1_000 })
  const channel = await journal.open('money')
  const entries = Array.from({ length: 10 }, (_, number) => channel.append({ number, padding: 'x'.repeat(50) }))
  await channel.written()
  for (const entry of entries.slice(1)) channel.release(entry)
  channel.append({ number: 10, padding: 'x'.repeat(500) })
  await channel.written()
  channel.append({ number: 11 })
  await channel.written()
  // A deletion that had begun would be done by then.
  for (let turn = 0; turn < 20; turn++) await stat(directory)
  assert.deepEqual(segmentsAt(directory), ['0/00000001.log', '0/00000002.log'])
  // A crash now leaves the copied record in both, and what was released beside it in the first.
  const crashed = `${directory}-crashed`
  cpSync(directory, crashed, { recursive: true })
  assert.deepEqual(await numbersAt(crashed), [...Array(12).keys()])
  await clock.advance(10)
  while (segmentsAt(directory).length > 1) await new Promise((resolve) => setImmediate(resolve))
  await journal.close()
  assert.deepEqual(await numbersAt(directory), [0, 10, 11])
})

test('a directory that goes away and comes back loses nothing', async (context) => {
  const directory = journalDirectory(context)
  const clock = new FakeClock()
  const journal = journalAt(directory, { clock, segmentBytes: 100 })
  const channel = await journal.open('money')
  channel.append({ number: 1, padding: 'x'.repeat(100) })
  await channel.written()
  renameSync(join(directory, '0'), join(directory, 'away'))
  channel.append({ number: 2 })
  await assert.rejects(channel.written(), /ENOENT/)
  renameSync(join(directory, 'away'), join(directory, '0'))
  await untilWritten(clock, channel)
  await journal.close()
  assert.deepEqual(await numbersAt(directory), [1, 2])
})

test('a stop with a full disk ends, and says how many records are lost', linux, async (context) => {
  const directory = journalDirectory(context)
  const { journal, channel, descriptor } = await started(directory)
  swap(descriptor, '/dev/full', 'r+')
  channel.append({ number: 2 })
  await assert.rejects(channel.written(), /ENOSPC/)
  await journal.close()
  assert.deepEqual(journal.log.at(-1), {
    level: 'error',
    fields: { records: 1 },
    message: 'journal records are lost',
  })
  assert.deepEqual(await numbersAt(directory), [1])
})
