import { StartupError } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'

/** A plugin as far as its place is concerned. */
export interface Orderable {
  readonly name: string
  /** Names this plugin must come before. */
  readonly before: readonly string[]
  /** Names this plugin must come after. */
  readonly after: readonly string[]
  /** Why it stands where it stands if no constraint moves it: `default`, `config[2]`. */
  readonly origin: string
}

/** A plugin in its place. */
export interface Ordered {
  readonly name: string
  /** The constraints that hold between it and enabled plugins, or its origin: for `hadrian plan`. */
  readonly reason: string
}

/** The resolved order, and names in constraints that match no known package. */
export interface Order {
  readonly ordered: readonly Ordered[]
  readonly warnings: readonly string[]
}

/**
 * Sorts plugins by their constraints, and where those leave a choice keeps the order given (default plugins first, then
 * the order of the config file). Pure and stable: among the plugins that may come next, the first in the given order does.
 *
 * @param plugins enabled plugins in their given order
 * @param known names of all installed packages; constraints may name those without effect
 * @throws StartupError naming the edges of a cycle
 */
export function resolveOrder(plugins: readonly Orderable[], known: Iterable<string>): Order {
  const enabled = new Set(plugins.map(({ name }) => name))
  const knownNames = new Set([...known, ...enabled])
  const warnings: string[] = []
  /** For each plugin, those that must come first. */
  const predecessors = new Map<string, Set<string>>(plugins.map(({ name }) => [name, new Set()]))
  const reasons = new Map<string, string[]>(plugins.map(({ name }) => [name, []]))

  const constrain = (
    first: string,
    then: string,
    declaredBy: string,
    word: 'before' | 'after',
    other: string,
  ): void => {
    if (!knownNames.has(other)) {
      const hint = didYouMean(other, knownNames)
      warnings.push(
        `plugin "${declaredBy}" wants to run ${word} "${other}", which no installed package is called${hint ? `. ${hint}` : ''}`,
      )
      return
    }
    if (!enabled.has(other)) return
    predecessors.get(then)!.add(first)
    reasons.get(declaredBy)!.push(`${word} ${other}`)
  }
  for (const { name, before, after } of plugins) {
    for (const other of before) constrain(name, other, name, 'before', other)
    for (const other of after) constrain(other, name, name, 'after', other)
  }

  const ordered: Ordered[] = []
  const placed = new Set<string>()
  const waiting = [...plugins]
  while (waiting.length > 0) {
    const next = waiting.findIndex(({ name }) => [...predecessors.get(name)!].every((other) => placed.has(other)))
    if (next === -1)
      throw cycleError(
        waiting.map(({ name }) => name),
        predecessors,
      )
    const [plugin] = waiting.splice(next, 1)
    placed.add(plugin!.name)
    ordered.push({ name: plugin!.name, reason: reasons.get(plugin!.name)!.join(', ') || plugin!.origin })
  }
  return { ordered, warnings }
}

/** The error for plugins none of which can come next: walks back until a name repeats, and prints that loop. */
function cycleError(waiting: readonly string[], predecessors: ReadonlyMap<string, ReadonlySet<string>>): StartupError {
  const stuck = new Set(waiting)
  const path: string[] = []
  let name = waiting[0]!
  while (!path.includes(name)) {
    path.push(name)
    name = [...predecessors.get(name)!].find((other) => stuck.has(other))!
  }
  const loop = [...path.slice(path.indexOf(name)), name].toReversed()
  const edges = loop.slice(1).map((then, index) => `"${loop[index]!}" before "${then}"`)
  return new StartupError([
    {
      path: 'plugins',
      message: `the order of plugins has a cycle: ${edges.join(', ')}`,
      hint: `Set [plugins.${loop[0]!}] order = { before = [...], after = [...] } to override what one of them asks for.`,
    },
  ])
}
