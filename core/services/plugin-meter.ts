import type { BatchObservableCallback, Meter, Observable, ObservableCallback } from '@opentelemetry/api'

/** A meter that can take back what was hung into it. */
export interface ReleasableMeter {
  readonly meter: Meter
  /** Removes every callback that was added. Counts and histograms stay: they belong to the process. */
  release(): void
}

/**
 * The `meter` service of the plugins of one config. The meter itself outlives them, so that counters go on through a
 * reload; a callback they added to an observable instrument would keep them alive, and be asked, for good.
 */
export function releasableMeter(meter: Meter): ReleasableMeter {
  const undo = new Set<() => void>()

  const watched = <T extends Observable>(instrument: T): T => {
    const callbacks = new Map<ObservableCallback, () => void>()
    return new Proxy(instrument, {
      get(target, key) {
        if (key === 'addCallback')
          return (callback: ObservableCallback): void => {
            target.addCallback(callback)
            const remove = (): void => target.removeCallback(callback)
            callbacks.set(callback, remove)
            undo.add(remove)
          }
        if (key === 'removeCallback')
          return (callback: ObservableCallback): void => {
            target.removeCallback(callback)
            undo.delete(callbacks.get(callback)!)
            callbacks.delete(callback)
          }
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  }
  return {
    meter: {
      createGauge: (...input) => meter.createGauge(...input),
      createHistogram: (...input) => meter.createHistogram(...input),
      createCounter: (...input) => meter.createCounter(...input),
      createUpDownCounter: (...input) => meter.createUpDownCounter(...input),
      createObservableGauge: (...input) => watched(meter.createObservableGauge(...input)),
      createObservableCounter: (...input) => watched(meter.createObservableCounter(...input)),
      createObservableUpDownCounter: (...input) => watched(meter.createObservableUpDownCounter(...input)),
      addBatchObservableCallback(callback: BatchObservableCallback, observables: Observable[]) {
        meter.addBatchObservableCallback(callback, observables)
        undo.add(() => meter.removeBatchObservableCallback(callback, observables))
      },
      removeBatchObservableCallback: (callback, observables) =>
        meter.removeBatchObservableCallback(callback, observables),
    },
    release() {
      for (const remove of undo) remove()
      undo.clear()
    },
  }
}
