import type { Bench } from '../bench.ts'
import { saturate } from '../load-requests.ts'
import type { RunningGateway } from '../gateway-process.ts'
import { startOtlpReceiver } from '../otlp-receiver.ts'
import { writeSmallPlugins } from '../small-plugins.ts'
import { compare, median } from '../statistics.ts'
import { small } from '../workloads.ts'
import { inTurns, micros, ratioRow } from './goal.ts'
import type { Measurement } from './goal.ts'

/** CPU time per 1 KB request, of the gateway with something more and of the plain one, in turns. */
async function against(
  bench: Bench,
  gateway: RunningGateway,
): Promise<{ readonly candidates: readonly number[]; readonly bases: readonly number[] }> {
  const { rounds, sliceMs } = bench.options
  const plain = await bench.gateway()
  const slice = async ({ target }: RunningGateway): Promise<number> =>
    (await saturate(target, small, { concurrency: 64, durationMs: sliceMs })).cpuMicrosPerRequest
  return inTurns(
    rounds,
    () => slice(gateway),
    () => slice(plain),
  )
}

const tracing: Measurement = {
  goals: [13],
  async measure(bench) {
    const receiver = await startOtlpReceiver()
    const gateway = await bench.warmGateway({
      name: 'traced',
      environment: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
    })
    const { candidates, bases } = await against(bench, gateway)
    await gateway.stop()
    receiver.stop()
    const bars = { goal: 13, title: 'CPU per request, traced against not', must: 1.35, stretch: 1.2 }
    const row = ratioRow(bars, compare(candidates, bases), micros)
    return [receiver.traceBytes() > 0 ? row : { ...row, broken: 'no trace arrived' }]
  },
}

/** As many as make their cost stand out from the noise. */
const pluginCount = 18

const onePlugin: Measurement = {
  goals: [14],
  async measure(bench) {
    const gateway = await bench.warmGateway({
      name: 'plugins',
      config: await writeSmallPlugins(await bench.newDirectory(), pluginCount),
    })
    const { candidates, bases } = await against(bench, gateway)
    await gateway.stop()
    const differences = candidates.map((value, round) => value - bases[round]!)
    return [
      {
        goal: 14,
        title: `One more small plugin (of ${pluginCount})`,
        candidate: micros(median(candidates)),
        base: micros(median(bases)),
        paired: median(differences) / pluginCount,
        best: (Math.min(...candidates) - Math.min(...bases)) / pluginCount,
        unit: 'us',
        must: 2,
        stretch: 1,
      },
    ]
  },
}

export const additions: readonly Measurement[] = [tracing, onePlugin]
