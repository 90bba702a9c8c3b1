import { isIP } from 'node:net'
import { addressPolicy } from '../services/address.ts'
import { describeUrl } from '../services/database/url.ts'
import { firstLine, StartupError } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import { didYouMean } from '../services/spelling.ts'
import { configPath, valueAt } from './config-path.ts'
import type { Segment } from './config-path.ts'
import { isTable } from './config-tree.ts'
import type { ConfigTree } from './config-tree.ts'
import type { ChosenPlugin } from './selection.ts'

/** The names a reference may find, as far as the tree has them: it may hold mistakes of any other kind. */
interface Names {
  readonly providers: readonly string[]
  readonly models: readonly string[]
  readonly aliases: readonly string[]
  readonly defaultProvider: string | undefined
}

/** Mistakes no schema can see: names that find nothing else in the config, addresses and URLs of another kind. */
export function checkReferences({ tree, broken, sources }: ConfigTree, plugins: readonly ChosenPlugin[]): Problem[] {
  const models = entries(tree['models'])
  const defaultProvider = valueAt(tree, ['routing', 'default_provider'])
  const names: Names = {
    providers: entries(tree['providers']).map(([name]) => name),
    models: models.map(([name]) => name),
    aliases: models.flatMap(([, model]) => strings(valueAt(model, ['aliases']))),
    defaultProvider: typeof defaultProvider === 'string' ? defaultProvider : undefined,
  }
  return [
    ...checkRouting(tree, names),
    ...models.flatMap(([name, model]) => checkTargets(name, model, names)),
    ...checkAliases(models),
    ...models.flatMap(([name, model]) => checkTiers(name, model)),
    ...checkProxies(strings(valueAt(tree, ['server', 'trusted_proxies']))),
    ...checkAllowed(strings(valueAt(tree, ['fetch', 'allow']))),
    ...checkDatabase(valueAt(tree, ['database', 'url']), sources.get('database.url')?.kind === 'environment'),
    ...plugins.flatMap(({ definition }) =>
      definition.params ? [] : checkWithoutParams(definition.name, valueAt(tree, ['plugins', definition.name])),
    ),
  ].filter(({ path }) => !broken.has(path))
}

function checkRouting(tree: unknown, names: Names): Problem[] {
  const problems: Problem[] = []
  if (names.defaultProvider !== undefined && !names.providers.includes(names.defaultProvider))
    problems.push({ path: 'routing.default_provider', ...unknownProvider(names.defaultProvider, names) })
  const model = valueAt(tree, ['routing', 'default_model'])
  if (typeof model === 'string' && !names.models.includes(model) && !names.aliases.includes(model))
    problems.push(...checkTarget(['routing', 'default_model'], model, names))
  return problems
}

/** An entry without targets describes the target of its own name. */
function checkTargets(name: string, model: unknown, names: Names): Problem[] {
  if (valueAt(model, ['targets']) === undefined) return checkTarget(['models', name], name, names)
  const seen = new Set<string>()
  return targetsOf(model).flatMap(({ place, target }) => {
    const path = ['models', name, ...place]
    if (seen.has(target)) return [{ path: configPath(path), message: `"${target}" is a target of this entry already` }]
    seen.add(target)
    return checkTarget(path, target, names)
  })
}

/** The targets of an entry with their places in it; what is none is for the schema to tell. */
function targetsOf(model: unknown): { readonly place: readonly Segment[]; readonly target: string }[] {
  const targets = valueAt(model, ['targets'])
  return (Array.isArray(targets) ? targets : []).flatMap((entry: unknown, index) => {
    const place = isTable(entry) ? ['targets', index, 'target'] : ['targets', index]
    const target = valueAt(model, place)
    return typeof target === 'string' ? [{ place, target }] : []
  })
}

function checkTarget(segments: readonly Segment[], target: string, names: Names): Problem[] {
  const slash = target.indexOf('/')
  const prefix = target.slice(0, Math.max(slash, 0))
  if (names.defaultProvider !== undefined || target === '') return []
  if (prefix === '' || slash === target.length - 1)
    return [
      {
        path: configPath(segments),
        message: `"${target}" names no provider`,
        hint: 'Write provider/model, or set routing.default_provider.',
      },
    ]
  return names.providers.includes(prefix) ? [] : [{ path: configPath(segments), ...unknownProvider(prefix, names) }]
}

function unknownProvider(name: string, { providers }: Names): { message: string; hint: string } {
  return {
    message: `there is no provider "${name}"`,
    hint: didYouMean(name, providers) ?? `Providers: ${providers.join(', ') || 'none'}. Add [providers.${name}].`,
  }
}

/** Two tiers from the same count of tokens on: only one would ever be charged. */
function checkTiers(name: string, model: unknown): Problem[] {
  const targets = valueAt(model, ['targets'])
  const places: (readonly Segment[])[] = [
    [],
    ...(Array.isArray(targets) ? targets : []).map((_, index) => ['targets', index]),
  ]
  return places.flatMap((place) => {
    const tiers = valueAt(model, [...place, 'prices', 'tiers'])
    const counts = Array.isArray(tiers) ? tiers.map((tier) => valueAt(tier, ['above_input_tokens'])) : []
    return counts.flatMap((count, index) =>
      count === undefined || counts.indexOf(count) === index
        ? []
        : [
            {
              path: configPath(['models', name, ...place, 'prices', 'tiers', index, 'above_input_tokens']),
              message: 'is that of another tier too',
            },
          ],
    )
  })
}

function checkAliases(models: readonly (readonly [string, unknown])[]): Problem[] {
  const owners = new Map(models.map(([name]) => [name, name]))
  const problems: Problem[] = []
  for (const [name, model] of models)
    for (const [index, alias] of strings(valueAt(model, ['aliases'])).entries()) {
      const owner = owners.get(alias)
      if (owner === undefined) owners.set(alias, name)
      else
        problems.push({
          path: configPath(['models', name, 'aliases', index]),
          message: `"${alias}" is a name of ${configPath(['models', owner])} already`,
        })
    }
  return problems
}

function checkProxies(ranges: readonly string[]): Problem[] {
  return ranges.flatMap((range, index) => {
    const [address = '', bits = '0', ...rest] = range.split('/')
    const family = isIP(address)
    const valid =
      family !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
    if (valid) return []
    return [
      {
        path: configPath(['server', 'trusted_proxies', index]),
        message: `"${range}" is no address and no CIDR range`,
        hint: 'Write for instance "10.0.0.0/8".',
      },
    ]
  })
}

function checkAllowed(entries: readonly string[]): Problem[] {
  return entries.flatMap((entry, index) => {
    try {
      addressPolicy([entry])
      return []
    } catch (error) {
      return [{ path: configPath(['fetch', 'allow', index]), message: firstLine(error) }]
    }
  })
}

function checkDatabase(url: unknown, isFromEnvironment: boolean): readonly Problem[] {
  if (typeof url !== 'string' || url === '') return []
  try {
    describeUrl(url, isFromEnvironment ? 'DATABASE_URL' : 'database.url')
    return []
  } catch (error) {
    if (!(error instanceof StartupError)) throw error
    return error.problems
  }
}

/** Keys that mean something only where clients can name the plugin. */
function checkWithoutParams(name: string, section: unknown): Problem[] {
  const misplaced = [
    Object.keys(Object(valueAt(section, ['params']))).length > 0 && 'params',
    strings(valueAt(section, ['locked'])).length > 0 && 'locked',
    valueAt(section, ['client_may_disable']) === true && 'client_may_disable',
    valueAt(section, ['apply']) === 'on-request' && 'apply',
  ].filter((key) => key !== false)
  return misplaced.map((key) => ({
    path: configPath(['plugins', name, key]),
    message: 'this plugin has no params: it always runs, and clients cannot name it',
  }))
}

function entries(value: unknown): [string, unknown][] {
  return isTable(value) ? Object.entries(value) : []
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
