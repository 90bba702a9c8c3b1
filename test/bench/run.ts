/**
 * The benchmark: the gateway against the least a proxy in Node can be, on this machine, in turns. Prints a table of ratios
 * and always exits with 0: it informs, it does not test.
 *
 * --goal 1,7        only these
 * --rounds N        turns per measurement (default 8)
 * --quick           few and short turns: a smoke test whose numbers mean little
 * --profile DIR     writes a CPU profile of each gateway there
 */

import { cpus, release, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Bench } from './bench.ts'
import { additions } from './goals/additions.ts'
import type { Row } from './goals/goal.ts'
import { latency } from './goals/latency.ts'
import { memory } from './goals/memory.ts'
import { requests } from './goals/requests.ts'
import { streams } from './goals/streams.ts'
import { pinCores } from './pinning.ts'
import { tableOf } from './table.ts'

const { values } = parseArgs({
  options: {
    goal: { type: 'string' },
    rounds: { type: 'string', default: '8' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
})
const wanted = values.goal?.split(',').map(Number)
const pinning = pinCores()
const startedMs = performance.now()

console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model.trim()}, ${process.platform} ${release()},`)
console.log(`${(totalmem() / 2 ** 30).toFixed(0)} GiB; ${pinning.description}\n`)

const rows: Row[] = []
await using bench = await Bench.start({
  pinning,
  rounds: values.quick ? 2 : Number(values.rounds),
  sliceMs: values.quick ? 300 : 1000,
  profileDirectory: values.profile === undefined ? undefined : resolve(values.profile),
})
for (const measurement of [...requests, latency, ...streams, ...memory, ...additions]) {
  if (wanted && !measurement.goals.some((goal) => wanted.includes(goal))) continue
  try {
    rows.push(...(await measurement.measure(bench)))
  } catch (error) {
    console.error(`goal ${measurement.goals.join(', ')} could not be measured:`, error)
  }
  console.log(
    `goal ${measurement.goals.join(', ')} measured after ${((performance.now() - startedMs) / 1000).toFixed(0)} s`,
  )
}
console.log(`\n${tableOf(rows.toSorted((a, b) => a.goal - b.goal))}`)
