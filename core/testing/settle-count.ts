import type { Hooks, Outcome, PluginDefinition } from '../contract/plugin.ts'
import { hookNames } from '../contract/plugin.ts'

/** A plugin definition that tells how often its `settle` was called. */
export interface CountedPlugin {
  readonly definition: PluginDefinition
  /** The hooks each `setup` returned, in order. */
  readonly hooks: readonly Hooks[]
  /** How the exchanges it was active in ended. */
  readonly outcomes: readonly Outcome['status'][]
}

/** Wraps a plugin without changing what it does. */
export function countSettles(definition: PluginDefinition): CountedPlugin {
  const hooks: Hooks[] = []
  const outcomes: Outcome['status'][] = []
  const wrapped: PluginDefinition = {
    ...definition,
    async setup(services) {
      const own = (await definition.setup(services)) as Hooks
      hooks.push(own)
      return {
        ...bound(own),
        settle(exchange, outcome) {
          outcomes.push(outcome.status)
          return own.settle?.(exchange, outcome)
        },
      }
    },
  }
  return { definition: wrapped, hooks, outcomes }
}

/** The hooks of an object or of an instance of a class, as functions of their own. */
function bound(hooks: Hooks): Hooks {
  const functions = [...hookNames, 'start', 'stop'].flatMap((name) => {
    const hook = hooks[name as keyof Hooks] as ((...input: unknown[]) => unknown) | undefined
    return hook === undefined ? [] : [[name, hook.bind(hooks)] as const]
  })
  const { guardrail, routes, services } = hooks
  return {
    ...(Object.fromEntries(functions) as Hooks),
    ...(guardrail && { guardrail }),
    ...(routes && { routes }),
    ...(services && { services }),
  }
}
