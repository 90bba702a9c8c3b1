import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TestContext } from 'node:test'
import type { Journal } from '../../core/contract/plugin.ts'
import { leftIn } from './journal-files.ts'

/** Starts processes that share one place for their journals. */
export type Place = (context: TestContext) => () => Journal & { stop(): Promise<void> }

/** What every journal promises, on a disk or not. */
export function journalSuite(what: string, place: Place): void {
  describe(what, () => {
    it('hands what was not released to the next process, oldest first, by channel', async (context) => {
      const start = place(context)
      const first = start()
      const [money, usage] = [await first.open('money'), await first.open('usage')]
      assert.deepEqual(money.left, [])
      const entries = [1, 2, 3].map((number) => money.append({ number, text: 'ä \n "\u0000' }))
      usage.append({ row: 1 })
      await money.written()
      money.release(entries[1]!)
      await first.stop()

      const second = start()
      const again = await second.open('money')
      assert.deepEqual(
        leftIn(again),
        [1, 3].map((number) => ({ number, text: 'ä \n "\u0000' })),
      )
      for (const entry of again.left) again.release(entry)
      assert.deepEqual(again.left, [])
      await second.stop()

      const third = start()
      assert.deepEqual((await third.open('money')).left, [])
      assert.deepEqual(leftIn(await third.open('usage')), [{ row: 1 }])
      await third.stop()
    })

    it('opens a channel once, and refuses the entries of others', async (context) => {
      const journal = place(context)()
      const channel = await journal.open('money')
      assert.equal(await journal.open('money'), channel)
      assert.throws(() => channel.release({ record: {}, json: '{}' }), TypeError)
      const entry = channel.append({ a: 1 })
      channel.release(entry)
      channel.release(entry)
      await channel.written()
      await journal.stop()
      await assert.rejects(journal.open('other'), /the journal is closed/)
    })

    it('resolves at once when nothing waits, and after the write when something does', async (context) => {
      const journal = place(context)()
      const channel = await journal.open('money')
      assert.equal(await settledAt(channel.written()), 'now')
      channel.append({ a: 1 })
      assert.equal(await settledAt(channel.written()), 'later')
      await channel.written()
      assert.equal(await settledAt(channel.written()), 'now')
      await journal.stop()
    })

    it('shows a living process nothing of another', async (context) => {
      const start = place(context)
      const [first, second] = [start(), start()]
      ;(await first.open('money')).append({ from: 1 })
      ;(await second.open('money')).append({ from: 2 })
      await Promise.all([(await first.open('money')).written(), (await second.open('money')).written()])
      await second.stop()
      const third = start()
      assert.deepEqual(leftIn(await third.open('money')), [{ from: 2 }])
      await Promise.all([first.stop(), third.stop()])
      const last = start()
      assert.deepEqual(
        leftIn(await last.open('money')).toSorted((one, other) => Number(one['from']) - Number(other['from'])),
        [{ from: 1 }, { from: 2 }],
      )
      await last.stop()
    })
  })
}

/** Whether a promise is resolved before the event loop turns. */
async function settledAt(promise: Promise<void>): Promise<'now' | 'later'> {
  let settled: 'now' | 'later' = 'later'
  void promise.then(() => (settled = 'now'))
  await new Promise((resolve) => process.nextTick(resolve))
  await Promise.resolve()
  return settled
}
