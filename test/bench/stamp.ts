/** Times inside the text of an answer: the upstream writes one into each chunk, the load generator reads it. */

const pattern = /@(\d+)@/g
/** More than the longest stamp. */
const tailLength = 24

/** Microseconds of the machine's monotonic clock: the same in every process. */
export function nowMicros(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e6 + nanoseconds / 1e3
}

/** A stamp with the present time. */
export function stampNow(): string {
  return `@${Math.round(nowMicros())}@`
}

/** Finds the stamps in text that comes in pieces. */
export class StampReader {
  #tail = ''

  /** Calls back with every stamp that this piece completes, in microseconds. */
  push(text: string, onStamp: (micros: number) => void): void {
    const all = this.#tail + text
    let end = 0
    for (const match of all.matchAll(pattern)) {
      end = match.index + match[0].length
      onStamp(Number(match[1]))
    }
    this.#tail = all.slice(Math.max(end, all.length - tailLength))
  }
}
