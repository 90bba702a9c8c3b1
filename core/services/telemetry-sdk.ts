import { context, diag, metrics, propagation, trace } from '@opentelemetry/api'
import type { IMetricReader, MeterProvider, PushMetricExporter } from '@opentelemetry/sdk-metrics'
import { randomUUID } from 'node:crypto'

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What the usual variables ask for. */
export interface Signals {
  readonly traces: boolean
  readonly metrics: boolean
}

/**
 * Reads OpenTelemetry's variables. A signal is on if its exporter is named, or if there is an endpoint for it; off if its
 * exporter is `none`; both are off with `OTEL_SDK_DISABLED=true`. `OTEL_CONFIG_FILE` configures both.
 */
export function configuredSignals(environment: Environment): Signals {
  const value = (name: string) => environment[name]?.trim() ?? ''
  if (value('OTEL_SDK_DISABLED').toLowerCase() === 'true') return { traces: false, metrics: false }
  if (value('OTEL_CONFIG_FILE') !== '') return { traces: true, metrics: true }
  const isOn = (signal: string) => {
    const exporters = list(value(`OTEL_${signal}_EXPORTER`))
    if (exporters.length > 0) return !exporters.includes('none')
    return value('OTEL_EXPORTER_OTLP_ENDPOINT') !== '' || value(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`) !== ''
  }
  return { traces: isOn('TRACES'), metrics: isOn('METRICS') }
}

function list(value: string): string[] {
  return value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

/** Metrics as the text that Prometheus scrapes. */
export interface Prometheus {
  readonly reader: IMetricReader
  readonly text: () => Promise<string>
  /** Makes a meter provider with this reader alone, where no SDK takes the reader along. */
  start(): MeterProvider
}

/** Loads the metrics SDK and the serializer. The exporter's own HTTP server is never made: `/metrics` is a route of ours. */
export async function createPrometheus(): Promise<Prometheus> {
  const [{ MeterProvider, MetricReader }, { PrometheusSerializer }] = await Promise.all([
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/exporter-prometheus'),
  ])
  class PullReader extends MetricReader {
    protected async onForceFlush(): Promise<void> {}
    protected async onShutdown(): Promise<void> {}
  }
  const reader = new PullReader()
  // No timestamps, no target_info, no scope labels: there is one scope, and Prometheus knows the target.
  const serializer = new PrometheusSerializer('', false, undefined, true, true)
  return {
    reader,
    text: async () => {
      const { resourceMetrics } = await reader.collect()
      return `${serializer.serialize(resourceMetrics).trimEnd()}\n`
    },
    start: () => new MeterProvider({ readers: [reader] }),
  }
}

/** The running SDK. */
export interface Sdk {
  /** Whether it reads metrics with the readers it was given. */
  readonly takesReaders: boolean
  stop(): Promise<void>
}

/**
 * Loads and starts the SDK with what the environment says: exporters, sampler, propagators, limits. It registers itself
 * with the OpenTelemetry API of the process until it is stopped. No automatic instrumentation. `readers` read the metrics
 * in addition to what the environment asks for.
 */
export async function startSdk(init: {
  readonly environment: Environment
  readonly serviceName: string
  readonly version: string
  readonly signals: Signals
  readonly readers: readonly IMetricReader[]
}): Promise<Sdk> {
  const { environment, signals } = init
  const { startNodeSdk } = await import('@opentelemetry/sdk-node')
  const readers = signals.metrics
    ? init.readers.length > 0 && [...init.readers, ...(await pushReaders(environment))]
    : [...init.readers]
  const fromFile = Boolean(environment['OTEL_CONFIG_FILE']?.trim())
  const sdk = startNodeSdk({
    // Only what goes to stderr: the console logger writes the levels below to stdout.
    ...(!environment['OTEL_LOG_LEVEL'] && { logLevel: 'warn' }),
    ...(!signals.traces && { spanProcessors: [] }),
    // Without readers of ours the SDK reads the environment itself.
    ...(readers && { metricReaders: readers }),
    logRecordProcessors: [],
    // The detectors would send the command line and facts of the machine, which nobody asked for.
    ...(!environment['OTEL_NODE_RESOURCE_DETECTORS'] && { resourceDetectors: [] }),
    resourceAttributes: resourceAttributes(environment, init),
  })
  return {
    takesReaders: !fromFile,
    async stop() {
      try {
        await sdk.shutdown()
      } finally {
        for (const api of [trace, metrics, propagation, context, diag]) api.disable()
      }
    },
  }
}

/** Our defaults, and no attribute that `OTEL_RESOURCE_ATTRIBUTES` sets. */
function resourceAttributes(
  environment: Environment,
  gateway: { readonly serviceName: string; readonly version: string },
): Record<string, string> {
  const set = new Set(list(environment['OTEL_RESOURCE_ATTRIBUTES'] ?? '').map((entry) => entry.split('=', 1)[0]))
  const named = environment['OTEL_SERVICE_NAME']?.trim()
  const defaults = {
    'service.name': gateway.serviceName,
    'service.version': gateway.version,
    'service.instance.id': randomUUID(),
  }
  return {
    ...Object.fromEntries(Object.entries(defaults).filter(([name]) => !set.has(name))),
    ...(named && { 'service.name': named }),
  }
}

/**
 * The readers that push metrics out, as the SDK itself would make them: it makes none once it is given one. `prometheus`
 * needs none, since `/metrics` is served.
 */
async function pushReaders(environment: Environment): Promise<IMetricReader[]> {
  const { ConsoleMetricExporter, PeriodicExportingMetricReader } = await import('@opentelemetry/sdk-metrics')
  const named = list(environment['OTEL_METRICS_EXPORTER'] ?? '')
  const exporters: PushMetricExporter[] = []
  for (const name of new Set(named.length > 0 ? named : ['otlp'])) {
    if (name === 'otlp') exporters.push(await otlpExporter(environment))
    else if (name === 'console') exporters.push(new ConsoleMetricExporter())
    else if (name !== 'prometheus') process.emitWarning(`OTEL_METRICS_EXPORTER: "${name}" is not supported`)
  }
  const exportIntervalMillis = positive(environment['OTEL_METRIC_EXPORT_INTERVAL']) ?? 60_000
  const timeoutMillis = positive(environment['OTEL_METRIC_EXPORT_TIMEOUT']) ?? 30_000
  const exportTimeoutMillis = Math.min(timeoutMillis, exportIntervalMillis)
  return exporters.map(
    (exporter) => new PeriodicExportingMetricReader({ exporter, exportIntervalMillis, exportTimeoutMillis }),
  )
}

async function otlpExporter(environment: Environment): Promise<PushMetricExporter> {
  const protocol = environment['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL'] || environment['OTEL_EXPORTER_OTLP_PROTOCOL']
  const { OTLPMetricExporter } = await (protocol?.trim() === 'grpc'
    ? import('@opentelemetry/exporter-metrics-otlp-grpc')
    : protocol?.trim() === 'http/json'
      ? import('@opentelemetry/exporter-metrics-otlp-http')
      : import('@opentelemetry/exporter-metrics-otlp-proto'))
  return new OTLPMetricExporter()
}

function positive(value: string | undefined): number | undefined {
  const number = Number(value?.trim() || Number.NaN)
  return number > 0 ? number : undefined
}
