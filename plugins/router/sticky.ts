import { hash } from 'node:crypto'

interface Kept {
  readonly target: string
  readonly keptMs: number
}

/** Conversations remembered, the longest unused forgotten first: some 4 MB. */
const mostConversations = 20_000

/** The targets that hold prompts of conversations in their caches. */
export class StickyTargets {
  /** In the order of their last use, since a use puts an entry at the end. */
  readonly #kept = new Map<string, Kept>()

  get size(): number {
    return this.#kept.size
  }

  /** The name of the target that a conversation about a model went to less than `idleMs` ago. */
  find(conversation: string, model: string, { nowMs, idleMs }: Moment): string | undefined {
    const kept = this.#kept.get(keyOf(conversation, model))
    return kept && nowMs - kept.keptMs < idleMs ? kept.target : undefined
  }

  keep(conversation: string, model: string, target: string, { nowMs, idleMs }: Moment): void {
    const key = keyOf(conversation, model)
    this.#kept.delete(key)
    this.#kept.set(key, { target, keptMs: nowMs })
    for (const [oldest, { keptMs }] of this.#kept) {
      if (this.#kept.size <= mostConversations && nowMs - keptMs < idleMs) break
      this.#kept.delete(oldest)
    }
  }
}

/** Now by the monotonic clock, and how long an unused conversation is remembered; both in milliseconds. */
export interface Moment {
  readonly nowMs: number
  readonly idleMs: number
}

function keyOf(conversation: string, model: string): string {
  return hash('sha256', `${conversation} ${model}`, 'base64url')
}
