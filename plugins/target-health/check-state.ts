/** What the active checks of a provider or target have come to. */
export interface CheckState {
  readonly kind: 'models' | 'completion'
  /** As it steers routing. */
  status: 'healthy' | 'degraded' | 'open'
  failures: number
  successes: number
  latencyMs: number | undefined
  statusCode: number | undefined
  /** Milliseconds since 1970. */
  checkedAt: number | undefined
  error: string | undefined
  /** When the next one comes, by the monotonic clock. */
  nextMs: number
}
