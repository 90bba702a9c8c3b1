import type { HookName, Hooks, PluginDefinition } from '../contract/plugin.ts'
import { hookNames } from '../contract/plugin.ts'
import type { Implicit, Plan, PlanRow, ReadyPlugin, Requestable, Step } from '../pipeline/plan.ts'
import type { Problem } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'
import type { Ordered } from './order.ts'
import { compileParams } from './params.ts'

/** Hooks that run in reverse order of plugins, so that the first to see the request is the last to see the answer. */
const reversed: ReadonlySet<HookName> = new Set(['event', 'flush', 'stream', 'settle'])
/** Hooks that see the answer. Plugins that guard output have the last word, whatever others repair or put in before. */
const ofResponse: ReadonlySet<HookName> = new Set(['event', 'flush', 'stream'])
/** Hooks a plugin with `params` cannot have: they run before the kernel knows what the client named. */
const beforeParams: readonly HookName[] = ['receive', 'authenticate', 'authorize', 'admit', 'route']
/** Hooks whose failure must never let a request through. */
const neverOpen: readonly HookName[] = ['authenticate', 'authorize', 'admit', 'reserve']

/** What a plugin guards as it is set up: its options may narrow what its definition says, and nothing widens it. */
function guardedBy({ definition, hooks }: Pick<ReadyPlugin, 'definition' | 'hooks'>): PluginDefinition['guardrail'] {
  const { guardrail } = definition
  if (!guardrail || !hooks.guardrail) return guardrail
  return {
    input: guardrail.input === true && hooks.guardrail.input === true,
    output: guardrail.output === true && hooks.guardrail.output === true,
  }
}

/** Everything that the `setup` of a plugin may return. */
export const setupKeys: readonly string[] = [
  ...hookNames,
  'implied',
  'rewrites',
  'explain',
  'start',
  'stop',
  'routes',
  'guardrail',
  'services',
]

/** Everything about a plugin that keeps it from running as configured; empty if nothing does. */
export function checkPlugin({ definition, settings, hooks }: ReadyPlugin): Problem[] {
  const problems: Problem[] = []
  const path = `plugins.${definition.name}`
  const has = (hook: HookName): boolean => typeof hooks[hook] === 'function'
  const early = beforeParams.filter(has)
  if (definition.params && early.length > 0)
    problems.push({
      path,
      message: `declares "params" and implements ${early.join(', ')}, which run before a client's params are known`,
      hint: 'A plugin with params may implement transform and later hooks only.',
    })
  if (!definition.params && typeof hooks.implied === 'function')
    problems.push({ path, message: 'has "implied" without "params": it takes part in every exchange anyway' })
  const guarding = neverOpen.filter(has)
  if (settings.failure === 'open' && (guarding.length > 0 || definition.guardrail))
    problems.push({
      path: `${path}.failure`,
      message: `"open" would let requests pass unchecked when ${definition.guardrail ? 'this guardrail' : guarding.join(', ')} fails`,
      hint: 'Use failure = "closed".',
    })
  const guards = guardedBy({ definition, hooks })
  if (guards?.input && !has('transform') && !has('authorize') && !has('admit') && !has('dispatch'))
    problems.push({ path, message: 'says it guards input, but has no transform hook, so no endpoint is covered' })
  if (guards?.output && !has('event') && !has('stream'))
    problems.push({ path, message: 'says it guards output, but has no event or stream hook, so no answer is covered' })
  if (guards?.output && hooks.rewrites)
    problems.push({ path, message: 'says it guards output, and has "rewrites", by which answers would escape it' })
  if (hooks.rewrites && !has('event') && !has('stream'))
    problems.push({ path, message: 'has "rewrites" without an event or stream hook' })
  if (has('flush') && !has('event'))
    problems.push({ path, message: 'has a flush hook without an event hook to hold text back' })
  for (const name of Object.keys(hooks)) {
    if (setupKeys.includes(name)) continue
    const hint = didYouMean(name, setupKeys)
    problems.push({ path, message: `setup returned "${name}", which is no hook`, ...(hint !== undefined && { hint }) })
  }
  return problems
}

/** Compiles ordered plugins into the arrays the pipeline walks. Call {@link checkPlugin} on each first. */
export function compilePlan(
  plugins: readonly ReadyPlugin[],
  order: readonly Ordered[],
  warnings: readonly string[],
): { readonly plan: Plan; readonly problems: readonly Problem[] } {
  const byName = new Map(plugins.map((plugin) => [plugin.definition.name, plugin]))
  const inOrder = order.map(({ name }) => byName.get(name)!)
  const reasons = new Map(order.map(({ name, reason }) => [name, reason]))
  const requestables = new Map<string, Requestable>()
  const implicit: Implicit[] = []
  const problems: Problem[] = []
  for (const { definition, settings, hooks } of inOrder) {
    if (!definition.params) continue
    const compiled = compileParams(definition.name, definition.params, settings)
    if ('problems' in compiled) problems.push(...compiled.problems)
    else {
      requestables.set(definition.name, compiled.requestable)
      if (hooks.implied && settings.apply !== 'always')
        implicit.push({ requestable: compiled.requestable, implied: hooks.implied.bind(hooks) })
    }
  }

  const backwards = inOrder.toReversed()
  const forResponse = [...backwards.filter((plugin) => !guardsOutput(plugin)), ...backwards.filter(guardsOutput)]
  // What may not pass should not be sent to a search engine before it is refused; what others put in is judged again.
  const forTransform = [...inOrder.filter(guardsInput), ...inOrder.filter((plugin) => !guardsInput(plugin))]
  const steps = {} as { [H in HookName]: Step<H>[] }
  const rows: PlanRow[] = []
  for (const hook of hookNames) {
    const sequence = sequenceOf(hook, { inOrder, backwards, forResponse, forTransform })
    const compiled = sequence
      .filter(({ hooks }) => typeof hooks[hook] === 'function')
      .map((plugin) => step(hook, plugin, requestables))
    ;(steps as Record<HookName, unknown>)[hook] = compiled
    if (hook === 'flush') continue
    for (const [index, { plugin, requestable }] of compiled.entries())
      rows.push({
        hook,
        position: index + 1,
        plugin,
        why: why(plugin, {
          reason: reasons.get(plugin)!,
          requestable,
          isImplied: implicit.some((each) => each.requestable === requestable),
          hook,
          guards: guardedBy(byName.get(plugin)!),
        }),
      })
    if (hook === 'dispatch')
      rows.push({ hook, position: compiled.length + 1, plugin: '(kernel)', why: 'calls providers' })
  }
  const guarding = inOrder.filter(guardsInput)
  // Where clients decide, only the exchanges of those who ask for it are guarded.
  const guardsAll = guarding.some(({ definition, settings }) => !definition.params || settings.apply === 'always')
  const inputGuards = new Set(
    steps.transform.map(({ plugin }) => plugin).filter((name) => guardsInput(byName.get(name)!)),
  )
  const responseOrder = forResponse.map(({ definition }) => definition.name)
  return {
    plan: {
      plugins: inOrder,
      steps,
      responseOrder,
      requestables,
      implicit,
      guardsInput: guardsAll,
      inputGuards,
      rows,
      warnings,
    },
    problems,
  }
}

function guardsInput(plugin: ReadyPlugin): boolean {
  return guardedBy(plugin)?.input === true
}

function guardsOutput(plugin: ReadyPlugin): boolean {
  return guardedBy(plugin)?.output === true
}

/** The plugins in the order in which a hook is walked. */
function sequenceOf(
  hook: HookName,
  orders: Readonly<Record<'inOrder' | 'backwards' | 'forResponse' | 'forTransform', readonly ReadyPlugin[]>>,
): readonly ReadyPlugin[] {
  if (hook === 'transform') return orders.forTransform
  if (ofResponse.has(hook)) return orders.forResponse
  return reversed.has(hook) ? orders.backwards : orders.inOrder
}

function step<H extends HookName>(
  hook: H,
  { definition, settings, hooks }: ReadyPlugin,
  requestables: ReadonlyMap<string, Requestable>,
): Step<H> {
  return {
    plugin: definition.name,
    hook,
    call: (hooks[hook] as (...values: never[]) => unknown).bind(hooks) as NonNullable<Hooks[H]>,
    timeoutMs: settings.timeoutMs,
    failure: settings.failure,
    requestable: requestables.get(definition.name),
    ...(ofResponse.has(hook) && hooks.rewrites && { rewrites: hooks.rewrites.bind(hooks) }),
  }
}

function why(
  plugin: string,
  place: {
    readonly reason: string
    readonly requestable: Requestable | undefined
    /** It also takes part in requests that need it without naming it. */
    readonly isImplied: boolean
    readonly hook: HookName
    readonly guards: PluginDefinition['guardrail']
  },
): string {
  const { reason, requestable, isImplied, hook, guards } = place
  const facts = [reason]
  if (reversed.has(hook)) facts.push('reverse order')
  if (ofResponse.has(hook) && guards?.output) facts.push('guards output, so after the others')
  if (hook === 'stream') facts.push('holds the stream back')
  if (requestable) facts.push(requestable.settings.apply === 'always' ? 'always' : `on request as "${plugin}"`)
  if (isImplied) facts.push('or where a request needs it')
  if (requestable && requestable.settings.locked.length > 0)
    facts.push(`locked: ${requestable.settings.locked.join(', ')}`)
  if (hook === 'transform' && guards?.input) facts.push('guards input, so before the others, and after them again')
  return facts.join('; ')
}
