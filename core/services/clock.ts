import type { Clock } from '../contract/plugin.ts'

/** The real clock. Tests pass a `FakeClock` of the testing kit instead. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
