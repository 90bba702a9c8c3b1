import { crc32 } from 'node:zlib'

/** A sound line of a segment. */
export interface JournalLine {
  /** Grows with every append of a process; a record that is copied to a newer segment keeps it. */
  readonly sequence: number
  readonly channel: string
  /** CRC-32 of the rest of the line. */
  readonly checksum: number
  /** Text of the record. */
  json(): string
}

/** Longest record as JSON text, in characters. A longer line in a file is damage. */
export const recordLimit = 4 * 1024 * 1024

const space = 0x20

/** One line: checksum, sequence, channel and record, with spaces between. JSON text has no line break in it. */
export function encodeLine(sequence: number, channel: string, json: string): string {
  const content = `${sequence} ${channel} ${json}`
  return `${crc32(content)} ${content}\n`
}

/** Reads a line without its line break; undefined if it is not as it was written. The record is not parsed. */
export function decodeLine(line: Buffer): JournalLine | undefined {
  const afterChecksum = line.indexOf(space)
  const afterSequence = line.indexOf(space, afterChecksum + 1)
  const afterChannel = line.indexOf(space, afterSequence + 1)
  if (afterChecksum < 1 || afterSequence < 0 || afterChannel < 0) return undefined
  const checksum = Number(line.toString('latin1', 0, afterChecksum))
  if (crc32(line.subarray(afterChecksum + 1)) !== checksum) return undefined
  return {
    sequence: Number(line.toString('latin1', afterChecksum + 1, afterSequence)),
    channel: line.toString('latin1', afterSequence + 1, afterChannel),
    checksum,
    json: () => line.toString('utf8', afterChannel + 1),
  }
}
