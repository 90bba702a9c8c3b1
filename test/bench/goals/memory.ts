import { pause } from '../load-requests.ts'
import { StreamLoad } from '../load-streams.ts'
import { residentBytes } from '../process-usage.ts'
import { compare } from '../statistics.ts'
import type { Target } from '../target.ts'
import { streamed } from '../workloads.ts'
import { ratioRow } from './goal.ts'
import type { Measurement } from './goal.ts'

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`
const kilobytes = (bytes: number): string => `${(bytes / 1e3).toFixed(0)} KB`

/** Streams that send little: what they hold counts here, not what they carry. */
const slow = streamed(500, 1000)
/** The heap grows in steps, so a reading waits until the last one is over. */
const settleMs = 3_000
/** Each is a fresh process, so fewer than elsewhere. */
const memoryRounds = 2

/** Bytes of each further stream between 1,000 and 3,000 open ones. */
async function slope(target: Target): Promise<{ readonly perStream: number; readonly failed: number }> {
  const load = new StreamLoad(target, slow)
  await load.open(1000, 1000)
  await pause(settleMs)
  const before = residentBytes(target.pid)
  await load.open(2000, 2000)
  const { failed } = await load.measure(settleMs)
  const after = residentBytes(target.pid)
  load.close()
  return { perStream: (after - before) / 2000, failed }
}

const openStreams: Measurement = {
  goals: [11],
  async measure(bench) {
    const gateways: number[] = []
    const raws: number[] = []
    let failures = 0
    for (let round = 0; round < memoryRounds; round++) {
      const gateway = await bench.warmGateway({ name: 'memory' })
      const { perStream, failed } = await slope(gateway.target)
      gateways.push(perStream)
      failures += failed
      await gateway.stop()
      const raw = await bench.freshRaw()
      raws.push((await slope(raw.target)).perStream)
      await raw.stop()
    }
    const bars = { goal: 11, title: 'Memory per open stream, 1,000 to 3,000', must: 1.6, stretch: 1.25 }
    const row = ratioRow(bars, compare(gateways, raws), kilobytes)
    return [failures === 0 ? row : { ...row, broken: `${failures} streams failed` }]
  },
}

const idle: Measurement = {
  goals: [12],
  async measure(bench) {
    const gateway = await bench.freshGateway({
      name: 'idle',
      config:
        '[plugins.blocklist]\nwords = ["bench-word"]\n\n[plugins.response-healing]\n\n[plugins.jwt]\n' +
        'issuer = "bench"\naudience = "bench"\nsecret = "a secret of more than thirty-two characters"\n',
    })
    await pause(settleMs)
    const bytes = residentBytes(gateway.target.pid)
    await gateway.stop()
    const raw = await bench.freshRaw()
    await pause(500)
    const floor = residentBytes(raw.target.pid)
    await raw.stop()
    const resident = bytes / 1e6
    return [
      {
        goal: 12,
        title: 'Memory when idle, all plugins, PostgreSQL',
        candidate: megabytes(bytes),
        base: megabytes(floor),
        paired: resident,
        best: resident,
        unit: 'MB',
        must: 130,
        stretch: 110,
      },
    ]
  },
}

export const memory: readonly Measurement[] = [openStreams, idle]
