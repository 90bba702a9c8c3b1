import pino from 'pino'
import { isGatewayError } from '../contract/errors.ts'
import type { Logger } from '../contract/plugin.ts'
import { LineBatch } from './line-batch.ts'
import { lineRedactor } from './redaction.ts'

/** What log lines are written to: a stream, or anything that takes whole lines. */
export interface LogDestination {
  write(line: string): unknown
}

/** How {@link createLogger} writes. */
export interface LoggerOptions {
  /** `debug`, `info`, `warn`, `error` or `silent`. */
  readonly level: string
  /** Short lines for people in place of JSON. */
  readonly pretty?: boolean
  /** Default: stderr, written in the background within 100 ms and flushed when the process exits. */
  readonly destination?: LogDestination
  /** Values that must never appear in a line. Asked again for every line. */
  readonly secrets?: () => Iterable<string>
}

/** What can be changed while a logger and its children are in use. */
export type LoggerSettings = Pick<LoggerOptions, 'level' | 'pretty'>

/** The gateway's own logger. Plugins get a child of it as `Logger`. */
export interface RootLogger extends Logger {
  /** Changes it and all its children. Throws an `Error` for an unknown level. */
  configure(settings: LoggerSettings): void
  /** A logger that adds these fields to each of its lines. */
  child(bindings: object): RootLogger
  /** Writes out what is still buffered. Call it before the process ends. */
  flush(): void
}

/** An error as it stands in a log line. */
export interface DescribedError {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly status?: number
  /** The plugin and hook that threw, where the kernel has stamped them. */
  readonly plugin?: string
  readonly hook?: string
  readonly stack?: string
  readonly cause?: DescribedError
  /** Of an `AggregateError`, the first few. */
  readonly errors?: readonly DescribedError[]
}

const deepestCause = 8
const mostErrors = 5

/**
 * Describes anything that was thrown, with its code, stack and chain of causes. Total: never throws, ends on cycles, and
 * shows nothing of thrown values that are no errors but their text. `details` of errors are left out: they are the
 * client's, and may quote its request. So are the stacks of a refusal with 503 and of a database that is away, which many
 * requests may fail of: they say no more than the messages do.
 */
export function describeError(error: unknown): DescribedError {
  return describe(error, new Set(), 0, false)
}

function isAway(error: unknown): boolean {
  return isGatewayError(error) ? error.status === 503 : (error as { code?: unknown }).code === 'database_unavailable'
}

function describe(error: unknown, seen: Set<unknown>, depth: number, isBelowAway: boolean): DescribedError {
  try {
    if (typeof error !== 'object' || error === null) return { type: typeof error, message: String(error) }
    const fields = error as Record<string, unknown>
    if (seen.has(error)) return { type: 'Cycle', message: text(fields['message']) ?? '' }
    seen.add(error)
    const isBrief = isBelowAway || isAway(error)
    const inner = depth < deepestCause
    const errors = fields['errors']
    return {
      type: text(fields['name']) ?? 'Object',
      message: text(fields['message']) ?? '',
      ...defined('code', code(fields['code'])),
      ...(isGatewayError(error) && {
        status: error.status,
        ...defined('plugin', error.plugin),
        ...defined('hook', error.hook),
      }),
      ...(!isBrief && defined('stack', text(fields['stack']))),
      ...(inner && fields['cause'] !== undefined && { cause: describe(fields['cause'], seen, depth + 1, isBrief) }),
      ...(inner &&
        Array.isArray(errors) &&
        error instanceof Error && {
          errors: errors.slice(0, mostErrors).map((one) => describe(one, seen, depth + 1, isBrief)),
        }),
    }
  } catch {
    return { type: 'Unknown', message: 'A value was thrown that cannot be read' }
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function code(value: unknown): string | undefined {
  return typeof value === 'number' ? String(value) : text(value)
}

function defined<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V })
}

/**
 * Makes the logger: JSON lines with `time`, `level`, the fields and `message`, to stderr. Errors under the keys `error`,
 * `err` and `cause` are written by {@link describeError}. Secrets are taken out of the finished line, so that no field,
 * message, stack or cause can carry one. Throws an `Error` for an unknown level.
 */
export function createLogger(options: LoggerOptions): RootLogger {
  const redact = lineRedactor(options.secrets)
  const clean = (lines: string): string => {
    const safe = redact(lines)
    return pretty ? safe.replaceAll(/.+\n/g, prettyLine) : safe
  }
  let pretty = options.pretty ?? false
  const { destination } = options
  const output = destination ? { write: (line: string) => destination.write(clean(line)) } : new LineBatch(clean)
  const logger = pino(
    {
      level: 'debug',
      base: null,
      messageKey: 'message',
      timestamp: isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError, err: describeError, cause: describeError },
    },
    output,
  )
  // Kept here and not in pino, whose children remember the level they were made with.
  const threshold = { rank: rankOf(options.level) }
  return adapt(logger, threshold, {
    configure(settings) {
      threshold.rank = rankOf(settings.level)
      pretty = settings.pretty ?? false
    },
    flush() {
      const flushed = destination ?? output
      if (!('flushSync' in flushed) || typeof flushed.flushSync !== 'function') return
      try {
        flushed.flushSync()
      } catch {
        // Nothing can be flushed before stderr is open; what was written then goes out at exit.
      }
    },
  })
}

let lastMs = 0
let lastTime = ''

/** The time as pino writes it. Under load several lines share a millisecond, and making the text of a date is slow. */
function isoTime(): string {
  const nowMs = Date.now()
  if (nowMs !== lastMs) {
    lastMs = nowMs
    lastTime = `,"time":"${new Date(nowMs).toISOString()}"`
  }
  return lastTime
}

const levels: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent']

function rankOf(level: string): number {
  const rank = levels.indexOf(level)
  if (rank < 0) throw new Error(`unknown log level "${level}"; the levels are ${levels.join(', ')}`)
  return rank
}

function adapt(
  logger: pino.Logger,
  threshold: { readonly rank: number },
  root: Pick<RootLogger, 'configure' | 'flush'>,
): RootLogger {
  return {
    debug: (fields, message) => void (threshold.rank <= 0 && logger.debug(fields, message)),
    info: (fields, message) => void (threshold.rank <= 1 && logger.info(fields, message)),
    warn: (fields, message) => void (threshold.rank <= 2 && logger.warn(fields, message)),
    error: (fields, message) => void (threshold.rank <= 3 && logger.error(fields, message)),
    child: (bindings) => adapt(logger.child(bindings), threshold, root),
    ...root,
  }
}

/** What a terminal would obey: a client chooses the names of models, which are logged. */
const terminalControls = /(?![\n\t])\p{Cc}/gu

/** `12:30:05.123 WARN  Upstream failed provider=openai`, and below it the stacks of an error and its causes. */
function prettyLine(line: string): string {
  const { time, level, message, error, err, ...fields } = JSON.parse(line) as Record<string, unknown>
  const clock = String(time).slice(11, 23)
  const shown = Object.entries(fields).map(([key, value]) => ` ${key}=${pretty(value)}`)
  let described = (error ?? err) as DescribedError | undefined
  let stacks = ''
  for (; typeof described === 'object' && described !== null; described = described.cause) {
    const prefix = stacks === '' ? '  ' : '  caused by '
    stacks += `${prefix}${described.stack ?? `${described.type}: ${described.message}`}\n`
  }
  const printed = `${clock} ${String(level).toUpperCase().padEnd(5)} ${text(message) ?? ''}${shown.join('')}\n${stacks}`
  return printed.replaceAll(
    terminalControls,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function pretty(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
}
