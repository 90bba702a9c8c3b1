import type { Clock, Logger } from '../contract/plugin.ts'
import type { ModelInfo } from '../contract/provider.ts'
import { gatewayError, isGatewayError } from '../contract/errors.ts'
import type { ModelSource } from '../services/catalog.ts'
import type { Connections } from './connections.ts'
import type { ProviderInstance } from './services.ts'
import { callUpstream, readAll } from './upstream.ts'

/** How long a list is served without asking the upstream again. */
const freshMs = 5 * 60_000
/** An upstream that did not answer is left alone for so long. */
const pauseMs = 30_000
/** Listing models is never worth waiting long for. */
const limitMs = 5_000
/** OpenRouter's list, the longest known, is about 1 MB. */
const limitBytes = 32 * 1024 * 1024
/** Models of one instance that are remembered, some 1 kB each. */
const mostModels = 10_000

/** When an instance is asked for its models: when somebody wants a list, at the start too, or not at all. */
export type ListTime = 'on-demand' | 'start' | 'never'

/** What {@link ModelLists} is made from. */
export interface ModelListsOptions {
  readonly instances: ReadonlyMap<string, ProviderInstance>
  /** By instance; default `on-demand`. */
  readonly times?: ReadonlyMap<string, ListTime>
  readonly clock: Clock
  readonly logger: Logger
  readonly connections: Connections
}

interface KnownList {
  readonly models: ReadonlyMap<string, ModelInfo>
  readonly askedMs: number
}

const nothing: readonly ModelInfo[] = []

/** The models that provider instances say they have, asked for rarely and remembered. */
export class ModelLists implements ModelSource {
  readonly #options: ModelListsOptions
  readonly #lists = new Map<string, KnownList>()
  readonly #asking = new Map<string, Promise<void>>()
  readonly #pausedUntilMs = new Map<string, number>()
  readonly #stopped = new AbortController()
  #version = 0

  constructor(options: ModelListsOptions) {
    this.#options = options
  }

  get version(): number {
    return this.#version
  }

  /** What is remembered of an instance, without asking. */
  known(instance: string): readonly ModelInfo[] {
    const list = this.#lists.get(instance)
    return list ? [...list.models.values()] : nothing
  }

  find(instance: string, model: string): ModelInfo | undefined {
    return this.#lists.get(instance)?.models.get(model)
  }

  /** Asks the instances whose list is wanted from the start on. Does not wait for them. */
  start(): void {
    for (const [instance, time] of this.#options.times ?? []) if (time === 'start') void this.#refresh(instance)
  }

  /** Gives up what is being asked. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.all(this.#asking.values())
  }

  /**
   * The models of an instance. A list that is older than five minutes is served as it is, and asked for again meanwhile;
   * only for the first one anybody waits, for five seconds at most. Callers at the same time share one question.
   */
  async list(instance: string): Promise<readonly ModelInfo[]> {
    if (this.#options.times?.get(instance) === 'never') return nothing
    const nowMs = this.#options.clock.monotonicMs()
    const list = this.#lists.get(instance)
    const isDue = !list || nowMs - list.askedMs >= freshMs
    if (isDue && nowMs >= (this.#pausedUntilMs.get(instance) ?? -Infinity)) {
      const asking = this.#refresh(instance)
      if (!list) await asking
    }
    return this.known(instance)
  }

  /**
   * Asks an instance, whatever is remembered of it, to see whether it answers. What it says is not kept.
   *
   * @throws GatewayError `unsupported` if it has no list; whatever the upstream or the provider throws
   */
  async check(name: string, signal: AbortSignal): Promise<void> {
    const instance = this.#options.instances.get(name)
    if (!instance?.provider.models) throw gatewayError('unsupported', `"${name}" has no list of models`)
    await this.#read(instance, signal)
  }

  #refresh(instance: string): Promise<void> {
    let asking = this.#asking.get(instance)
    if (!asking) {
      asking = this.#ask(instance).finally(() => this.#asking.delete(instance))
      this.#asking.set(instance, asking)
    }
    return asking
  }

  async #ask(instance: string): Promise<void> {
    const { instances, clock, logger } = this.#options
    try {
      const models = await this.#withinLimit((signal) => this.#read(instances.get(instance)!, signal))
      this.#lists.set(instance, {
        models: new Map(models.slice(0, mostModels).map((model) => [model.id, model])),
        askedMs: clock.monotonicMs(),
      })
      this.#pausedUntilMs.delete(instance)
      this.#version += 1
    } catch (error) {
      this.#pausedUntilMs.set(instance, clock.monotonicMs() + pauseMs)
      if (this.#stopped.signal.aborted) return
      // An upstream that is down is no defect: its stack would say nothing, at every listing.
      const why = isGatewayError(error) ? { error_code: error.code, reason: error.message } : { error }
      logger.warn({ provider: instance, ...why }, 'models of a provider could not be listed')
    }
  }

  /** A provider's own code may take its time too, and what it does cannot be stopped. */
  async #withinLimit<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController()
    const signal = AbortSignal.any([late.signal, this.#stopped.signal])
    const ended = Promise.withResolvers<never>()
    const cancel = this.#options.clock.after(limitMs, () =>
      late.abort(gatewayError('provider_timeout', `The list of models did not come within ${limitMs / 1000} seconds`)),
    )
    const end = (): void => ended.reject(signal.reason as Error)
    if (signal.aborted) end()
    signal.addEventListener('abort', end)
    try {
      return await Promise.race([work(signal), ended.promise])
    } finally {
      cancel()
      signal.removeEventListener('abort', end)
    }
  }

  async #read({ name, provider, timeouts }: ProviderInstance, signal: AbortSignal): Promise<readonly ModelInfo[]> {
    const answer = (await provider.models?.()) ?? []
    if (!('wire' in answer) || provider.send) return answer as readonly ModelInfo[]
    const wire = await provider.authorize({
      ...answer.wire,
      headers: { accept: 'application/json', 'user-agent': 'hadrian', ...answer.wire.headers },
    })
    const { status, headers, body } = await callUpstream({
      provider: name,
      baseUrl: provider.baseUrl,
      wire,
      timeouts: { ...timeouts, firstByteMs: limitMs, idleMs: limitMs, totalMs: limitMs },
      signal,
      clock: this.#options.clock,
      connections: this.#options.connections,
    })
    const text = (await readAll(body, name, limitBytes)).toString('utf8')
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw gatewayError('provider_error', 'Upstream provider returned error: the list of models is not JSON', {
        cause: error,
      })
    }
    if (status >= 300) throw provider.decodeError(status, headers, value)
    return answer.read(value)
  }
}
