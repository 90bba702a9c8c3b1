import type { Span } from '@opentelemetry/api'
import type {
  Dialect,
  GenerateRequest,
  JsonObject,
  Operation,
  StreamEvent,
  Usage,
  Warning,
} from '../contract/canonical.ts'
import type {
  AttemptRecord,
  Exchange,
  HookName,
  Principal,
  Purchase,
  Reply,
  ReplyInit,
  StateKey,
  Target,
  TextSlots,
} from '../contract/plugin.ts'
import { gatewayError } from '../contract/errors.ts'
import type { GatewayError } from '../contract/errors.ts'
import { Cancellation } from '../services/cancellation.ts'
import { mayUse } from '../services/access.ts'
import type { AttemptRun } from './attempt.ts'
import type { Candidates, Excluded } from './candidates.ts'
import { estimateInputTokens } from './input-estimate.ts'
import { lossesAt } from './losses.ts'
import { buy } from './purchase.ts'
import type { Step } from './plan.ts'
import { withImplied, withOnline } from './request-plugins.ts'
import type { ActivePlugins } from './request-plugins.ts'
import type { PipelineServices } from './services.ts'
import { textSlots } from './texts.ts'

/** What an exchange is made of. */
export interface ExchangeInit {
  readonly id: string
  readonly requestId: string
  readonly operation: Operation
  readonly dialect: Dialect
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly principal: Principal
  readonly request: GenerateRequest
  /** The client's body, parsed. */
  readonly body: JsonObject
  /** The client's body as it came, for byte passthrough; absent without HTTP. */
  readonly bytes: Uint8Array | undefined
  readonly active: ActivePlugins
  /** Monotonic milliseconds when the request came in. */
  readonly startedMs: number
  readonly span: Span | undefined
}

const nothing: Readonly<Record<string, unknown>> = {}
const none: readonly never[] = []
const noPlugins: readonly string[] = []
const idle: Promise<unknown> = Promise.resolve()

/** Warnings kept for one exchange: a client can provoke one with every field, and each goes into log and metadata. */
const mostWarnings = 100

/** The kernel's side of an {@link Exchange}: plugins see the interface, the pipeline works with this class. */
export class ExchangeState implements Exchange {
  readonly id: string
  /** What errors show to the client; it may be of the client's choosing, so nothing is counted by it. */
  readonly requestId: string
  readonly operation: Operation
  readonly dialect: Dialect
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly principal: Principal
  readonly body: JsonObject
  readonly bytes: Uint8Array | undefined
  active: ActivePlugins
  readonly startedMs: number
  readonly startedAt: number
  readonly span: Span | undefined
  readonly services: PipelineServices
  readonly cancellation = new Cancellation()
  readonly attempts: AttemptRecord[] = []
  /** Attempts that a hook refused before they reached a provider: they count nowhere and are only shown. */
  refusals: readonly AttemptRecord[] = none
  /** The attempt whose answer goes to the client. */
  answering: AttemptRecord | undefined
  readonly warnings: Warning[] = []
  #warned: Set<string> | undefined
  readonly excluded: Excluded[] = []
  readonly responseHeaders: Record<string, string> = {}
  /** Plugins and hooks that ran, in order; kept only if the client asked for metadata. */
  readonly ran: string[] | undefined
  #running: Set<Promise<unknown>> | undefined
  /** A hook has replaced the request, so the client's bytes no longer say what to send. */
  edited = false
  /** A hook has judged the prompts, or may: what it judged must be what is sent, hence parsed and written again. */
  inspected: boolean
  /** Monotonic milliseconds when the first event was ready for the client. */
  firstEventMs: number | undefined
  #judged: Map<string, GenerateRequest> | undefined
  /** Resolves when no guardrail is judging a further turn. */
  judging: Promise<unknown> = idle
  /** The plugin that answered or refused. */
  answeredBy: string | undefined
  finishReason: string | undefined
  /** What an answer that cost nothing says of its tokens. Shown, never charged. */
  shownUsage: Usage | undefined
  #request: GenerateRequest
  #targets: readonly Target[] = []
  #usages: Usage[] = []
  #purchases: readonly Purchase[] = none
  #over = false
  #open: readonly AttemptRun[] = none
  #state: Map<StateKey<unknown>, unknown> | undefined

  constructor(init: ExchangeInit, services: PipelineServices) {
    this.id = init.id
    this.requestId = init.requestId
    this.operation = init.operation
    this.dialect = init.dialect
    this.headers = init.headers
    this.principal = init.principal
    this.body = init.body
    this.bytes = init.bytes
    this.active = init.active
    this.startedMs = init.startedMs
    this.startedAt = services.clock.now()
    this.span = init.span
    this.services = services
    this.#request = init.request
    this.inspected = services.plan.guardsInput
    this.ran = init.headers['x-hadrian-metadata'] === 'enabled' ? [] : undefined
  }

  /** Hooks with a deadline that have not returned. */
  get running(): Set<Promise<unknown>> {
    return (this.#running ??= new Set())
  }

  /** Whether there are any. */
  get isRunning(): boolean {
    return this.#running !== undefined && this.#running.size > 0
  }

  get signal(): AbortSignal {
    return this.cancellation.signal
  }

  get request(): GenerateRequest {
    return this.#request
  }

  edit(change: (request: GenerateRequest) => GenerateRequest): void {
    const changed = change(this.#request)
    if (changed === this.#request) return
    this.#request = changed
    this.edited = true
  }

  /** The request that each guardrail of prompts has seen last, by its plugin. */
  get judged(): Map<string, GenerateRequest> {
    return (this.#judged ??= new Map())
  }

  /** Puts another request in place of the exchange's own, which it returns: for the hooks that judge a further turn. */
  swap(request: GenerateRequest): GenerateRequest {
    const own = this.#request
    this.#request = request
    return own
  }

  texts(): TextSlots {
    this.inspected = true
    return textSlots(
      () => this.#request,
      (request) => this.edit(() => request),
    )
  }

  get requestPlugins(): readonly string[] {
    return this.active.size === 0 ? noPlugins : [...this.active.keys()]
  }

  get targets(): readonly Target[] {
    return this.#targets
  }

  /** Drops what the principal may not use, so that nothing a router adds can escape access control. */
  set targets(targets: readonly Target[]) {
    const kept = targets.filter((target) => mayUse(this.principal, target))
    for (const target of this.#targets)
      if (!kept.includes(target) && !this.excluded.some(({ target: name }) => name === target.name))
        this.excluded.push({ target: target.name, removedBy: 'route' })
    this.#targets = kept
  }

  /** Sets the list to start from, by which plugins may find that they are needed. Every target on it has passed access control. */
  begin({ targets, excluded, online }: Candidates): void {
    this.#targets = targets
    this.excluded.push(...excluded)
    const { plan } = this.services
    if (online) this.active = withOnline(plan, this.#request, this.active)
    if (plan.implicit.length > 0) this.active = withImplied(plan, this.#request, { active: this.active, targets })
  }

  exclude(target: Target, removedBy: string): void {
    this.excluded.push({ target: target.name, removedBy })
    this.#targets = this.#targets.filter(({ name }) => name !== target.name)
  }

  losses(target: Target): readonly Warning[] {
    return lossesAt(this, target)
  }

  get usage(): Usage | undefined {
    const used = this.#usages.length > 1 ? this.#usages.reduce(addUsage) : this.#usages[0]
    if (this.purchases.length === 0) return used
    const boughtMicros = this.purchases.reduce((sum, { costMicros }) => sum + costMicros, 0)
    const searches = this.purchases.reduce(
      (sum, each) => sum + (each.item === 'web_search' ? (each.quantity ?? 1) : 0),
      0,
    )
    return {
      inputTokens: 0,
      outputTokens: 0,
      ...used,
      costMicros: (used?.costMicros ?? 0) + boughtMicros,
      ...(searches > 0 && { webSearches: (used?.webSearches ?? 0) + searches }),
    }
  }

  get purchases(): readonly Purchase[] {
    return this.#purchases
  }

  buy<T>(purchase: Purchase, work: (bill: (costMicros: number) => void) => Promise<T>): Promise<T> {
    return buy(this, purchase, work)
  }

  /** Adds what was bought. */
  bought(purchase: Purchase): void {
    this.#purchases = [...this.#purchases, purchase]
  }

  /** Registers an attempt that has begun. Called by the attempt itself. */
  open(attempt: AttemptRun): void {
    this.attempts.push(attempt.record)
    this.#open = this.#open.length === 0 ? [attempt] : [...this.#open, attempt]
  }

  /** Called by the attempt itself. */
  closed(attempt: AttemptRun): void {
    this.#open =
      this.#open.length === 1 && this.#open[0] === attempt ? none : this.#open.filter((each) => each !== attempt)
  }

  /** An attempt was refused before it reached a provider. Called by the attempt itself. */
  refused(attempt: AttemptRun): void {
    const index = this.attempts.lastIndexOf(attempt.record)
    if (index >= 0) this.attempts.splice(index, 1)
    this.refusals = [...this.refusals, attempt.record]
    this.closed(attempt)
  }

  /** The exchange has ended: so do attempts whose answer nobody will read to its end, and their upstream calls. */
  end(reason: GatewayError | undefined): void {
    this.#over = true
    if (this.#open.length === 0) return
    const shown = reason ?? gatewayError('request_cancelled', 'The exchange has ended')
    for (const attempt of this.#open) attempt.fail(shown)
  }

  /**
   * Called before everything that would cost something: what a hook left running when it returned must not go on.
   *
   * @throws the reason for which the exchange was aborted or has ended
   */
  throwIfOver(): void {
    this.cancellation.throwIfAborted()
    if (this.#over) throw gatewayError('request_cancelled', 'The exchange has ended')
  }

  /** Adds what one call used. */
  charge(usage: Usage): void {
    this.#usages.push(usage)
  }

  warn(warning: Warning): void {
    const key = `${warning.code} ${warning.message}`
    const warned = (this.#warned ??= new Set())
    if (warned.has(key) || warned.size >= mostWarnings) return
    warned.add(key)
    this.warnings.push(warning)
    this.services.telemetry.recordWarning(warning.code)
  }

  get<T>(key: StateKey<T>): T | undefined {
    return this.#state?.get(key) as T | undefined
  }

  set<T>(key: StateKey<T>, value: T): void {
    ;(this.#state ??= new Map()).set(key, value)
  }

  header(name: string, value: string): void {
    this.responseHeaders[name] = value
  }

  reply(text: string, init: ReplyInit = {}): Reply {
    const events: StreamEvent[] = [
      { type: 'start' },
      { type: 'text', text },
      { type: 'usage', usage: init.usage ?? { inputTokens: 0, outputTokens: 0 } },
      { type: 'finish', reason: 'stop' },
    ]
    return {
      status: init.status ?? 200,
      headers: init.headers ?? {},
      events: (async function* () {
        yield* events
      })(),
    }
  }

  /** Whether a step's plugin takes part in this exchange. */
  isActive({ requestable }: Step<HookName>): boolean {
    return !requestable || this.active.has(requestable.id)
  }

  /** The steps of a hook that take part. The plan's own array, uncopied, if all do. */
  steps<H extends HookName>(hook: H): readonly Step<H>[] {
    const steps = this.services.plan.steps[hook] as readonly Step<H>[]
    if (this.active.size === 0) return withoutRequestables(steps)
    return steps.every((step) => this.isActive(step)) ? steps : steps.filter((step) => this.isActive(step))
  }

  /** The params of a step's plugin for this exchange. */
  paramsOf({ requestable }: Pick<Step<HookName>, 'requestable'>): Readonly<Record<string, unknown>> {
    return (requestable && this.active.get(requestable.id)) ?? nothing
  }

  /** Input tokens by a rule of thumb; a provider's own count replaces it. */
  estimateInputTokens(request: GenerateRequest = this.#request): number {
    return estimateInputTokens(request)
  }
}

const unrequested = new WeakMap<readonly Step<HookName>[], readonly Step<HookName>[]>()

/** The steps of an exchange that names no plugins, which is nearly every one: the same array each time. */
function withoutRequestables<H extends HookName>(steps: readonly Step<H>[]): readonly Step<H>[] {
  let kept = unrequested.get(steps) as readonly Step<H>[] | undefined
  if (!kept) unrequested.set(steps, (kept = steps.filter(({ requestable }) => !requestable)))
  return kept
}

/** The sum of two usages, field by field. */
function addUsage(left: Usage, right: Usage): Usage {
  const sum: Record<string, unknown> = { ...left, native: undefined }
  for (const [name, value] of Object.entries(right)) {
    const before = sum[name]
    if (typeof value === 'number') sum[name] = (typeof before === 'number' ? before : 0) + value
    else if (value === true) sum[name] = true
  }
  return sum as unknown as Usage
}
