import { pause } from '../load-requests.ts'
import { StreamLoad } from '../load-streams.ts'
import type { StreamSlice } from '../load-streams.ts'
import { compare } from '../statistics.ts'
import type { Comparison } from '../statistics.ts'
import type { Target } from '../target.ts'
import type { Workload } from '../workloads.ts'
import { messagesStream, streamed } from '../workloads.ts'
import { inTurns, micros, ratioRow } from './goal.ts'
import type { Measurement, Row } from './goal.ts'

interface Shape {
  readonly streams: number
  /** Over which the streams are opened. */
  readonly openMs: number
  readonly measureMs: number
}

/** Opens streams, lets them settle, watches them, and leaves them. */
async function slice(target: Target, workload: Workload, { streams, openMs, measureMs }: Shape): Promise<StreamSlice> {
  const load = new StreamLoad(target, workload)
  await load.open(streams, openMs)
  await pause(openMs / 4)
  const seen = await load.measure(measureMs)
  load.close()
  // What leaving costs belongs to nobody's slice.
  await pause(100)
  return seen
}

/** 64 streams of 100 chunks, one every 20 ms: each ends and begins anew within a slice. */
function paced(): Shape {
  return { streams: 64, openMs: 400, measureMs: 2_000 }
}

function by(
  field: 'cpuMicrosPerChunk' | 'transitMicros',
  { candidates, bases }: { readonly candidates: readonly StreamSlice[]; readonly bases: readonly StreamSlice[] },
): Comparison {
  const values = (slices: readonly StreamSlice[]): number[] => slices.map((each) => each[field])
  return compare(values(candidates), values(bases))
}

function withFailures(row: Row, slices: readonly StreamSlice[]): Row {
  const failed = slices.reduce((sum, each) => sum + each.failed, 0)
  return failed === 0 ? row : { ...row, broken: `${failed} streams failed` }
}

const sameFormat: Measurement = {
  goals: [7, 9],
  async measure(bench) {
    const raw = await bench.raw()
    const { target } = await bench.gateway()
    const workload = streamed(20, 100)
    const shape = paced()
    await slice(target, workload, shape)
    await slice(raw, workload, shape)
    const directs: StreamSlice[] = []
    const turns = await inTurns(
      bench.options.rounds,
      () => slice(target, workload, shape),
      async () => {
        directs.push(await slice(bench.direct, workload, shape))
        return slice(raw, workload, shape)
      },
    )
    const added = (slices: readonly StreamSlice[]): number[] =>
      slices.map((each, round) => each.firstChunkMicros - directs[round]!.firstChunkMicros)
    const perChunk = { goal: 7, title: 'CPU per chunk, 64 streams, 20 ms apart', must: 1.3, stretch: 1.1 }
    const first = { goal: 9, title: 'First chunk added, 64 streams, p50', must: 2, stretch: 1.4 }
    return [
      withFailures(ratioRow(perChunk, by('cpuMicrosPerChunk', turns), micros), turns.candidates),
      ratioRow(first, compare(added(turns.candidates), added(turns.bases)), micros),
    ]
  },
}

const burst: Measurement = {
  goals: [7],
  async measure(bench) {
    const raw = await bench.raw()
    const { target } = await bench.gateway()
    const workload = streamed(0, 400)
    const shape = { streams: 16, openMs: 100, measureMs: bench.options.sliceMs }
    await slice(target, workload, shape)
    await slice(raw, workload, shape)
    const turns = await inTurns(
      bench.options.rounds,
      () => slice(target, workload, shape),
      () => slice(raw, workload, shape),
    )
    const bars = { goal: 7, title: 'CPU per chunk, 16 streams, back to back' }
    return [withFailures(ratioRow(bars, by('cpuMicrosPerChunk', turns), micros), turns.candidates)]
  },
}

const translated: Measurement = {
  goals: [8],
  async measure(bench) {
    const raw = await bench.raw()
    const { translating } = await bench.gateway()
    const shape = paced()
    const turn = {
      gateway: () => slice(translating, streamed(20, 100), shape),
      raw: () => slice(raw, messagesStream(20, 100), shape),
    }
    await turn.gateway()
    await turn.raw()
    const turns = await inTurns(bench.options.rounds, turn.gateway, turn.raw)
    const bars = { goal: 8, title: 'CPU per chunk, Messages to chat, 64 streams', must: 1.6, stretch: 1.35 }
    return [withFailures(ratioRow(bars, by('cpuMicrosPerChunk', turns), micros), turns.candidates)]
  },
}

const thousand: Measurement = {
  goals: [10],
  async measure(bench) {
    const raw = await bench.raw()
    const { target } = await bench.gateway()
    const workload = streamed(50, 400)
    const shape = { streams: 1000, openMs: 1000, measureMs: 2 * bench.options.sliceMs }
    await slice(target, workload, shape)
    const turns = await inTurns(
      Math.max(2, Math.round(bench.options.rounds / 2)),
      () => slice(target, workload, shape),
      () => slice(raw, workload, shape),
    )
    const perChunk = { goal: 10, title: 'CPU per chunk, 1,000 streams, 50 ms apart', must: 1.4, stretch: 1.2 }
    const transit = { goal: 10, title: 'Median transit, 1,000 streams', must: 2, stretch: 1.2 }
    return [
      withFailures(ratioRow(perChunk, by('cpuMicrosPerChunk', turns), micros), turns.candidates),
      ratioRow(transit, by('transitMicros', turns), micros),
    ]
  },
}

export const streams: readonly Measurement[] = [sameFormat, burst, translated, thousand]
