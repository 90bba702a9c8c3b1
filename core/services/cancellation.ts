/** The part of an `AbortSignal` that the kernel itself listens to. */
export interface CancelSignal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/**
 * An `AbortController` that is one only for whoever asks: every request has several, nearly none is ever used, and a real
 * one with its listeners costs more than the rest of what the kernel does for a request's life and death.
 */
export class Cancellation implements CancelSignal {
  #aborted = false
  #reason: unknown
  #listener: (() => void) | undefined
  #others: (() => void)[] | undefined
  #controller: AbortController | undefined

  get aborted(): boolean {
    return this.#aborted
  }

  get reason(): unknown {
    return this.#reason
  }

  /** The same as a real signal, for plugins and libraries. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Aborts; only the first call counts. */
  abort(reason: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    const listeners = [...(this.#listener ? [this.#listener] : []), ...(this.#others ?? [])]
    this.#listener = this.#others = undefined
    for (const listener of listeners) listener()
    this.#controller?.abort(reason)
  }

  /** @throws the reason, if it has aborted */
  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.#aborted) return
    if (!this.#listener && !this.#others) this.#listener = listener
    else (this.#others ??= []).push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    if (this.#listener === listener) {
      this.#listener = undefined
      return
    }
    const index = this.#others?.indexOf(listener) ?? -1
    if (index >= 0) this.#others!.splice(index, 1)
  }
}
