import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { JournalEntry } from '../../core/contract/plugin.ts'
import type { OpenedJournal } from '../../core/services/journal/index.ts'
import { journalAt, journalDirectory } from './journal-files.ts'

const names = ['money', 'usage'] as const

type Name = (typeof names)[number]

/** What the journal must know of a record. */
interface Known {
  readonly entry: JournalEntry
  readonly name: Name
  written: boolean
  released: boolean
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), many: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('release' as const), keep: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
)

/** What a crash of the system's user at this moment would leave: a copy of all segments, without the locks. */
function copyOf(directory: string, copy: string): void {
  mkdirSync(copy, { recursive: true })
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()
  for (const path of paths.filter((name) => name.endsWith('.log'))) {
    try {
      const content = readFileSync(join(directory, path))
      mkdirSync(dirname(join(copy, path)), { recursive: true })
      writeFileSync(join(copy, path), content)
    } catch (error) {
      // It was just being removed: what it held is released, or stands in a later one.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

test('whatever is done, a crash leaves everything written and not released, and a stop nothing else', async (context) => {
  const place = journalDirectory(context)
  let directories = 0
  const run = async (steps: readonly { readonly do: string; readonly many?: number; readonly keep?: number }[]) => {
    let directory = join(place, String(directories++))
    const options = { segmentBytes: 700, ...(directories % 2 === 0 && { sync: 'request' as const }) }
    const abandoned: OpenedJournal[] = []
    let journal = journalAt(directory, options)
    let records = new Map<number, Known>()
    const gone = new Set<number>()
    let next = 0

    /** Opens the channels and compares what they hold with what they must and may. */
    const reopen = async (exact: boolean): Promise<void> => {
      journal = journalAt(directory, options)
      const found = new Map<number, Known>()
      for (const name of names) {
        const channel = await journal.open(name)
        const numbers = channel.left.map(({ record }) => record['number'] as number)
        assert.deepEqual(
          numbers,
          numbers.toSorted((one, other) => one - other),
          'not in order',
        )
        for (const entry of channel.left) {
          const number = entry.record['number'] as number
          assert(!found.has(number), `${number} was found twice`)
          assert(!gone.has(number), `${number} is back`)
          const known = records.get(number)
          assert.equal(known?.name, name)
          if (exact) assert(!known.released, `${number} was released`)
          found.set(number, { entry, name, written: true, released: false })
        }
      }
      for (const [number, { written, released }] of records) {
        if (written && !released) assert(found.has(number), `${number} is lost`)
        if (!found.has(number)) gone.add(number)
      }
      records = found
    }

    await reopen(true)
    for (const action of steps) {
      const waiting = [...records.values()].filter(({ released }) => !released)
      if (action.do === 'append')
        for (let count = 0; count < action.many!; count++) {
          const name = names[next % 2]!
          const entry = (await journal.open(name)).append({ number: next, padding: 'x'.repeat(next % 40) })
          records.set(next++, { entry, name, written: false, released: false })
        }
      else if (action.do === 'write') {
        await (await journal.open('money')).written()
        for (const known of records.values()) known.written = true
      } else if (action.do === 'turn') await new Promise((resolve) => setImmediate(resolve))
      else if (action.do === 'release')
        // All, or all but each so many: those that stay are what segments are kept and copied for.
        for (const known of waiting.filter((_, index) => action.keep === 1 || index % action.keep! !== 0)) {
          ;(await journal.open(known.name)).release(known.entry)
          known.released = true
        }
      else if (action.do === 'restart') {
        await journal.close()
        for (const known of records.values()) known.written = true
        await reopen(true)
      } else {
        const copy = join(place, String(directories++))
        copyOf(directory, copy)
        abandoned.push(journal)
        directory = copy
        await reopen(false)
      }
    }
    await Promise.all([...abandoned, journal].map((each) => each.close()))
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), run), { numRuns: 60 })
})
