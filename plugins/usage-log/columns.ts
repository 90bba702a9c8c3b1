/** Names of columns that several statements share, each list in the order of the tables. */

export const exchangeTable = 'usage_log_exchanges'
export const attemptTable = 'usage_log_attempts'
export const callerTable = 'usage_log_callers'
export const hourTable = 'usage_log_hours'
export const dayTable = 'usage_log_days'

/** What a call used and cost; `bigint` everywhere. */
export const billColumns = [
  'input_tokens',
  'output_tokens',
  'cached_tokens',
  'cache_write_tokens',
  'reasoning_tokens',
  'audio_input_tokens',
  'audio_output_tokens',
  'images',
  'cost_micros',
  'reported_cost_micros',
] as const

/** What the rollups count and sum up. */
export const sumColumns = [
  'requests',
  'completed',
  'refused',
  'failed',
  'aborted',
  'estimated',
  'calls',
  'unpriced',
  ...billColumns,
  'duration_ms',
  'first_event_ms',
  'first_events',
] as const

/** What tells the rows of a rollup apart. */
export const rollupKey = ['at', 'caller_id', 'provider', 'model'] as const

/** The caller of the rollups' rows that are the sums of all callers: no hash makes it. */
export const everyone = '00000000-0000-0000-0000-000000000000'
