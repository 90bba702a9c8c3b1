import type { Clock } from '../contract/plugin.ts'
import type { ModelInfo } from '../contract/provider.ts'
import { gatewayError } from '../contract/errors.ts'
import type { ModelSource } from '../services/catalog.ts'
import type { Connections } from './connections.ts'
import type { ProviderInstance } from './services.ts'
import { callUpstream, readAll } from './upstream.ts'

/** How long a list is served without asking the upstream again. */
const freshMs = 5 * 60_000
/** Listing models is never worth waiting long for. */
const limitMs = 5_000
/** OpenRouter's list, the longest known, is about 1 MB. */
const limitBytes = 32 * 1024 * 1024

/** The models that provider instances say they have, asked for rarely and remembered. */
export class ModelLists implements ModelSource {
  readonly #instances: ReadonlyMap<string, ProviderInstance>
  readonly #clock: Clock
  readonly #connections: Connections
  readonly #lists = new Map<string, { readonly models: readonly ModelInfo[]; readonly askedMs: number }>()
  readonly #asking = new Map<string, Promise<readonly ModelInfo[]>>()

  constructor(instances: ReadonlyMap<string, ProviderInstance>, clock: Clock, connections: Connections) {
    this.#instances = instances
    this.#clock = clock
    this.#connections = connections
  }

  /** What is remembered of an instance, without asking. */
  known(instance: string): readonly ModelInfo[] {
    return this.#lists.get(instance)?.models ?? []
  }

  /**
   * The models of an instance, at most five minutes old. Callers at the same time share one question.
   *
   * @throws whatever the upstream or the provider throws; what was known before is kept
   */
  list(instance: string): Promise<readonly ModelInfo[]> {
    const known = this.#lists.get(instance)
    if (known && this.#clock.monotonicMs() - known.askedMs < freshMs) return Promise.resolve(known.models)
    let asking = this.#asking.get(instance)
    if (!asking) {
      asking = this.#ask(this.#instances.get(instance)!)
        .then((models) => {
          this.#lists.set(instance, { models, askedMs: this.#clock.monotonicMs() })
          return models
        })
        .finally(() => this.#asking.delete(instance))
      this.#asking.set(instance, asking)
    }
    return asking
  }

  async #ask({ name, provider, timeouts }: ProviderInstance): Promise<readonly ModelInfo[]> {
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
      signal: new AbortController().signal,
      clock: this.#clock,
      connections: this.#connections,
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
