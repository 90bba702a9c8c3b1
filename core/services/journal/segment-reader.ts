import { createReadStream } from 'node:fs'
import { decodeLine, recordLimit } from './line.ts'
import type { JournalLine } from './line.ts'

/** What a segment holds from its first unsound line on. */
export interface SegmentDamage {
  /** Byte at which the first unsound line begins; everything before it was read. */
  readonly position: number
  readonly unreadBytes: number
  /** Sound lines after it, which are not read: 0 for the torn end that a crash leaves. */
  readonly unreadRecords: number
}

/** What {@link readSegment} found. */
export interface SegmentContent {
  /** Bytes of the whole file. */
  readonly bytes: number
  readonly damage: SegmentDamage | undefined
}

const lineBreak = 0x0a
/** A line may be longer than its record: by three numbers, a name, and by the bytes of characters beyond ASCII. */
const lineLimitBytes = 3 * recordLimit + 1_024

/**
 * Reads a segment piece by piece and calls `onLine` with each sound line and its length in bytes, up to the first that is
 * torn or corrupt.
 */
export async function readSegment(
  path: string,
  onLine: (line: JournalLine, bytes: number) => void,
): Promise<SegmentContent> {
  let bytes = 0
  let position = 0
  let rest: Buffer = Buffer.alloc(0)
  let damagedAt: number | undefined
  let unreadRecords = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    const piece = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    let start = 0
    for (let end = piece.indexOf(lineBreak); end !== -1; end = piece.indexOf(lineBreak, start)) {
      const line = decodeLine(piece.subarray(start, end))
      if (!line) damagedAt ??= position
      else if (damagedAt === undefined) onLine(line, end + 1 - start)
      else unreadRecords++
      position += end + 1 - start
      start = end + 1
    }
    rest = piece.subarray(start)
    if (rest.length > lineLimitBytes) {
      damagedAt ??= position
      position += rest.length
      rest = rest.subarray(rest.length)
    }
  }
  if (rest.length > 0) damagedAt ??= position
  return {
    bytes,
    damage:
      damagedAt === undefined ? undefined : { position: damagedAt, unreadBytes: bytes - damagedAt, unreadRecords },
  }
}
