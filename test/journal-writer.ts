/**
 * Opens the journal of the directory in the first argument and prints a line of JSON: the numbers that earlier processes
 * left. Then, with a second argument, appends numbers from there on, several at once, until it is killed, and prints
 * each that is written; with the third, `release`, it releases every number but each tenth. Without a second argument it
 * waits to be killed. Started by tests as a process of its own.
 */
import { systemClock } from '../core/services/clock.ts'
import { createJournal } from '../core/services/journal/index.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const [, , directory = '', first, release] = process.argv
const journal = createJournal({
  directory,
  sync: 'background',
  clock: systemClock,
  logger: silent,
  segmentBytes: 16 * 1024,
})
const channel = await journal.open('numbers')
console.log(JSON.stringify(channel.left.map(({ record }) => record['number'])))
if (first === undefined) setInterval(() => undefined, 60_000)
else {
  let number = Number(first)
  const appendOn = async (): Promise<void> => {
    for (;;) {
      const own = number++
      const entry = channel.append({ number: own, padding: 'x'.repeat(own % 200) })
      await channel.written()
      console.log(own)
      if (release && own % 10 !== 0) channel.release(entry)
    }
  }
  await Promise.all([appendOn(), appendOn(), appendOn()])
}
