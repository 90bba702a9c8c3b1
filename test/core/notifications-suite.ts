/** Notifications, alike on both kinds of database. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { OpenedDatabase } from '../../core/services/database/index.ts'

/** @param open opens an empty database that no other test uses */
export function notificationsSuite(name: string, open: () => Promise<OpenedDatabase>): void {
  describe(`notifications of the ${name} database`, { timeout: 60_000 }, () => {
    let database: OpenedDatabase

    before(async () => {
      database = await open()
    })
    after(() => database.close())

    it('delivers notifications until it is told to stop, to every subscriber', async () => {
      const heard: string[] = []
      const first = await database.listen('Some "Channel"', (payload) => heard.push(`first ${payload}`))
      const faulty = await database.listen('Some "Channel"', () => {
        throw new Error('a fault of the subscriber')
      })
      await database.notify('other channel', 'unheard')
      await heardNext(database, 'Some "Channel"', 'a')
      await faulty()
      await first()
      await first()
      await heardNext(database, 'Some "Channel"', 'b')
      assert.deepEqual(heard, ['first a'])
    })

    it('listens again on a channel that everybody had left', async () => {
      for (const payload of ['1', '2', '3']) await heardNext(database, 'left', payload)
    })

    it('delivers the notifications of a transaction when it commits only', async () => {
      const heard: string[] = []
      const stop = await database.listen('committed', (payload) => heard.push(payload))
      await assert.rejects(
        database.tx(async (transaction) => {
          await transaction.query(`select pg_notify('committed', 'no')`)
          throw new Error('changed my mind')
        }),
      )
      await database.tx((transaction) => transaction.query(`select pg_notify('committed', 'yes')`))
      await heardNext(database, 'committed', 'end')
      assert.deepEqual(heard, ['yes', 'end'])
      await stop()
    })

    it('starts to listen while somebody else holds a transaction that is rolled back', async () => {
      const held = Promise.withResolvers<void>()
      const inside = Promise.withResolvers<void>()
      const transaction = database.tx(async (transaction) => {
        await transaction.query('select 1')
        inside.resolve()
        await held.promise
        throw new Error('rolled back')
      })
      await inside.promise
      const heard = Promise.withResolvers<string>()
      const listening = database.listen('meanwhile', heard.resolve)
      held.resolve()
      await assert.rejects(transaction, /rolled back/)
      const stop = await listening
      await database.notify('meanwhile', 'heard')
      assert.equal(await heard.promise, 'heard')
      await stop()
    })

    it('refuses channel names that PostgreSQL would cut', async () => {
      await assert.rejects(
        database.listen('c'.repeat(64), () => undefined),
        /1 to 63 bytes/,
      )
      await assert.rejects(database.notify('', 'x'), /1 to 63 bytes/)
    })
  })
}

/** Sends a payload and waits until it is heard, and with it everything that was sent before. */
async function heardNext(database: OpenedDatabase, channel: string, payload: string): Promise<void> {
  const heard = Promise.withResolvers<void>()
  const stop = await database.listen(channel, (received) => {
    if (received === payload) heard.resolve()
  })
  await database.notify(channel, payload)
  await heard.promise
  await stop()
}
