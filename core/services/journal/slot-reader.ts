import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../../contract/plugin.ts'
import { Segment, StoredEntry } from './segment.ts'
import { readSegment } from './segment-reader.ts'
import type { Segments } from './segments.ts'
import { leaveSlot } from './slots.ts'
import type { Slot } from './slots.ts'

/** What earlier processes left. */
export interface LeftRecords {
  /** By channel, oldest first. */
  readonly entries: Map<string, StoredEntry[]>
  /** Greatest number of a segment in the first slot; 0 if it has none. */
  readonly lastNumber: number
  readonly lastSequence: number
}

interface FoundRecord {
  readonly entry: StoredEntry
  readonly checksum: number
  readonly segment: Segment
}

/** Reads all segments of these slots. Those without a record are removed, and so are empty slots but the first. */
export async function readSlots(slots: readonly Slot[], segments: Segments, logger: Logger): Promise<LeftRecords> {
  const found: FoundRecord[] = []
  let lastNumber = 0
  for (const slot of slots) {
    const ofSlot = segmentsOf(slot)
    // A damaged file that was put aside keeps its number.
    if (slot === slots[0]) lastNumber = Math.max(0, ...filesOf(slot).map(numberOf))
    else if (ofSlot.length === 0) await leaveSlot(slot)
    for (const segment of ofSlot) segments.add(segment)
    for (const segment of ofSlot) await read(segment, found, logger)
  }
  found.sort((one, other) => one.entry.sequence - other.entry.sequence || one.checksum - other.checksum)
  const entries = new Map<string, StoredEntry[]>()
  for (const [index, { entry, checksum, segment }] of found.entries()) {
    const before = found[index - 1]
    // A process that died while it copied a segment has left both.
    if (before?.checksum === checksum && before.entry.sequence === entry.sequence) continue
    segment.add(entry)
    const ofChannel = entries.get(entry.channel)
    if (ofChannel) ofChannel.push(entry)
    else entries.set(entry.channel, [entry])
  }
  for (const segment of segments.all) if (!segment.needed) segments.remove(segment)
  return { entries, lastNumber, lastSequence: found.at(-1)?.entry.sequence ?? 0 }
}

/** The segments of a slot, oldest first. */
function segmentsOf(slot: Slot): Segment[] {
  return filesOf(slot)
    .filter((name) => name.endsWith('.log'))
    .toSorted((one, other) => numberOf(one) - numberOf(other))
    .map((name) => new Segment(join(slot.directory, name), slot))
}

function filesOf(slot: Slot): string[] {
  return readdirSync(slot.directory).filter((name) => /^\d+\.log/.test(name))
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10)
}

/** Collects the records of a segment and reports its damage. */
async function read(segment: Segment, found: FoundRecord[], logger: Logger): Promise<void> {
  const { path } = segment
  const { bytes, damage } = await readSegment(path, (line, length) => {
    const entry = new StoredEntry(line.json(), line.channel, line.sequence, length)
    found.push({ entry, checksum: line.checksum, segment })
    segment.records++
  })
  segment.bytes = bytes
  if (!damage) return
  segment.unreadable = damage.unreadRecords > 0
  if (segment.unreadable) logger.error({ path, ...damage }, 'a journal file is damaged: the rest of it is not read')
  else logger.info({ path, ...damage }, 'a journal file ends in a line that was not written whole')
}
