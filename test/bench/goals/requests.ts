import { saturate } from '../load-requests.ts'
import type { Throughput } from '../load-requests.ts'
import { compare } from '../statistics.ts'
import type { Workload } from '../workloads.ts'
import { image, large, small } from '../workloads.ts'
import { inTurns, micros, ratioRow } from './goal.ts'
import type { Bars, Measurement } from './goal.ts'

/** CPU time per whole answer, as many as go through. */
function perRequest(bars: Bars, workload: Workload, concurrency: number): Measurement {
  return {
    goals: [bars.goal],
    async measure(bench) {
      const { rounds, sliceMs } = bench.options
      const raw = await bench.raw()
      const { target } = await bench.gateway()
      const slice = (at: typeof raw): Promise<Throughput> =>
        saturate(at, workload, { concurrency, durationMs: sliceMs })
      // Another size takes other paths, which are cold at first.
      await slice(target)
      await slice(raw)
      const { candidates, bases } = await inTurns(
        rounds,
        () => slice(target),
        () => slice(raw),
      )
      const cpu = (slices: readonly Throughput[]): number[] => slices.map((each) => each.cpuMicrosPerRequest)
      return [ratioRow(bars, compare(cpu(candidates), cpu(bases)), micros)]
    },
  }
}

export const requests: readonly Measurement[] = [
  perRequest({ goal: 1, title: 'CPU per request, 1 KB, 64 at once', must: 2.5, stretch: 2 }, small, 64),
  perRequest({ goal: 2, title: 'CPU per request, 8 KB up, 16 KB down', must: 2.2, stretch: 1.8 }, large, 64),
  perRequest({ goal: 4, title: 'CPU per request, 1 MB image', must: 2.5, stretch: 1.8 }, image, 8),
]
