import type { StreamEvent } from '../contract/canonical.ts'
import type { Reply } from '../contract/plugin.ts'

/**
 * Makes one reply of several, each becoming a choice: how `n` is served by providers that give one answer per call. The
 * replies are read side by side, so that choices stream at the same time.
 */
export function mergeChoices(replies: readonly Reply[]): Reply {
  return { status: 200, headers: {}, events: mergeEvents(replies.map(({ events }) => events!)) }
}

interface Step {
  readonly choice: number
  readonly result: IteratorResult<StreamEvent>
}

async function* mergeEvents(sources: readonly AsyncIterable<StreamEvent>[]): AsyncGenerator<StreamEvent> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]())
  const pending = new Map<number, Promise<Step>>()
  const pull = (choice: number): void => {
    const step = iterators[choice]!.next().then((result) => ({ choice, result }))
    // Each is awaited through the race; one that fails after another did must not count as unhandled.
    step.catch(() => {})
    pending.set(choice, step)
  }
  let started = false
  try {
    for (const choice of iterators.keys()) pull(choice)
    while (pending.size > 0) {
      const { choice, result } = await Promise.race(pending.values())
      if (result.done) {
        pending.delete(choice)
        continue
      }
      pull(choice)
      if (result.value.type === 'start') {
        if (started) continue
        started = true
      }
      yield { ...result.value, choice }
    }
  } finally {
    // Not awaited: a silent upstream would hold up the failure of another. Settling the exchange ends its call.
    for (const iterator of iterators) void iterator.return?.().catch(() => {})
  }
}
