import { latencies } from '../load-requests.ts'
import { compare, percentile } from '../statistics.ts'
import type { Target } from '../target.ts'
import { small } from '../workloads.ts'
import { micros, ratioRow } from './goal.ts'
import type { Bars, Measurement, Row } from './goal.ts'

/** A load that every machine carries with ease, so that no answer waits for another. */
const ratePerSecond = 300

/** What the gateway adds to the latency of an answer, against what the raw proxy adds. */
export const latency: Measurement = {
  goals: [5],
  async measure(bench) {
    const { rounds, sliceMs } = bench.options
    const raw = await bench.raw()
    const { target } = await bench.gateway()
    const slice = (at: Target): Promise<readonly number[]> =>
      latencies(at, small, { ratePerSecond, durationMs: sliceMs })
    const turns: { direct: readonly number[]; gateway: readonly number[]; raw: readonly number[] }[] = []
    for (let round = 0; round < rounds; round++)
      turns.push({ direct: await slice(bench.direct), gateway: await slice(target), raw: await slice(raw) })
    const row = (bars: Bars, percent: number): Row => {
      const added = (which: 'gateway' | 'raw'): number[] =>
        turns.map((turn) => percentile(turn[which], percent) - percentile(turn.direct, percent))
      return ratioRow(bars, compare(added('gateway'), added('raw')), micros)
    }
    return [
      row({ goal: 5, title: 'Added latency at 300/s, p50', must: 1.6, stretch: 1.3 }, 50),
      row({ goal: 5, title: 'Added latency at 300/s, p99' }, 99),
    ]
  },
}
