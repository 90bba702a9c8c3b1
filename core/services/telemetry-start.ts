import { metrics, trace } from '@opentelemetry/api'
import type { Meter } from '@opentelemetry/api'
import { systemClock } from './clock.ts'
import { createMetrics, noMetrics } from './telemetry-metrics.ts'
import { configuredSignals, createPrometheus, startSdk } from './telemetry-sdk.ts'
import type { Environment } from './telemetry-sdk.ts'
import { createSpans, noSpans } from './telemetry-spans.ts'
import { scopeName } from './telemetry.ts'
import type { Telemetry } from './telemetry.ts'

/** What {@link createTelemetry} starts. */
export interface TelemetryOptions {
  /**
   * The environment of the process: its `OTEL_*` variables decide what is loaded. The SDK reads the details (endpoints,
   * headers, samplers) from `process.env` itself.
   */
  readonly environment: Environment
  /** Serve `/metrics`. */
  readonly metrics: boolean
  /** Shown as `service.name`, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says otherwise. */
  readonly serviceName: string
  /** The gateway's version, shown as `service.version`. */
  readonly version: string
}

/** A collector that is down must not hold up the end of the process. */
const stopTimeoutMs = 5000

/**
 * Starts what is configured. Without any of the usual variables and without `metrics`, no module of an SDK is loaded and
 * nothing is ever recorded. A broken configuration is reported on stderr by the SDK and leaves telemetry off.
 */
export async function createTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const signals = configuredSignals(options.environment)
  const prometheus = options.metrics ? await createPrometheus() : undefined
  const sdk =
    signals.traces || signals.metrics
      ? await startSdk({ ...options, signals, readers: prometheus ? [prometheus.reader] : [] })
      : undefined

  const tracing = sdk !== undefined && signals.traces
  const metering = prometheus !== undefined || signals.metrics
  const tracer = trace.getTracer(scopeName, options.version)
  // The SDK takes the reader of Prometheus along, unless it reads its own configuration file.
  const local = prometheus && !sdk?.takesReaders ? prometheus.start() : undefined
  const meter: Meter = (local ?? metrics).getMeter(scopeName, options.version)

  return {
    tracer,
    meter,
    tracing,
    metering,
    ...(tracing ? createSpans(tracer) : noSpans),
    ...(metering ? createMetrics(meter) : noMetrics),
    ...(prometheus && { prometheus: prometheus.text }),
    async stop() {
      const ended = Promise.allSettled([sdk?.stop(), local?.shutdown()])
      let cancel: (() => void) | undefined
      await Promise.race([
        ended,
        new Promise<void>((resolve) => {
          cancel = systemClock.after(stopTimeoutMs, resolve)
        }),
      ])
      cancel?.()
    },
  }
}
