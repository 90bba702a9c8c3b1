import type { Hooks, ObjectSchema, PluginDefinition } from '../../core/contract/plugin.ts'
import type { StreamEvent } from '../../core/contract/canonical.ts'
import type { FakeClock } from '../../core/testing/index.ts'

/** Options of a plugin that has none. */
export const noOptions = { type: 'object', properties: {}, additionalProperties: false } as const satisfies ObjectSchema

/** A plugin that is nothing but its hooks. */
export function hookPlugin(
  name: string,
  hooks: Hooks<never>,
  rest: Partial<Omit<PluginDefinition, 'name' | 'setup'>> = {},
): PluginDefinition {
  return { name, api: 1, options: noOptions, ...rest, setup: () => hooks }
}

/** A promise, and what settles it. */
export function gate<T = void>(): {
  readonly promise: Promise<T>
  readonly open: (value: T) => void
  readonly fail: (error: unknown) => void
} {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  return { promise, open: resolve, fail: reject }
}

/** Lets everything that waits for nothing but promises and input go first. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Waits, turn by turn, until something is so. */
export async function until(isSo: () => boolean, what = 'it never came to it'): Promise<void> {
  for (let turns = 0; !isSo(); turns++) {
    if (turns > 2_000) throw new Error(what)
    await turn()
  }
}

/** Waits for work, moving time on by a step as long as it is not done. */
export async function passing<T>(clock: FakeClock, work: Promise<T>, stepMs: number): Promise<T> {
  const state = { done: false }
  const watched = work.finally(() => {
    state.done = true
  })
  watched.catch(() => {})
  await turn()
  for (let steps = 0; !state.done; steps++) {
    if (steps > 200) throw new Error(`it took more than ${steps * stepMs} ms`)
    await clock.advance(stepMs)
  }
  return watched
}

/** Reads a stream of records to its end. */
export async function drain<T>(records: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const record of records) all.push(record)
  return all
}

/** The text in the records of a chat stream, by choice. */
export function chatText(records: readonly { readonly data: unknown }[], choice = 0): string {
  return records
    .flatMap(({ data }) => (data as { choices?: { index: number; delta?: { content?: string } }[] }).choices ?? [])
    .filter(({ index }) => index === choice)
    .map(({ delta }) => delta?.content ?? '')
    .join('')
}

/** A piece of text of an answer. */
export function text(value: string, choice?: number): StreamEvent {
  return { type: 'text', text: value, ...(choice !== undefined && { choice }) }
}
