import type { Schema } from '../contract/plugin.ts'
import type { Problem } from '../services/problems.ts'
import { checkConfig } from './config-check.ts'
import { configPath } from './config-path.ts'
import { environmentKeys, isTable } from './config-tree.ts'
import type { ConfigTree } from './config-tree.ts'
import type { LeftOut } from './container.ts'
import type { ChosenPlugin, ChosenProvider, Selection } from './selection.ts'

/** What is left of a config when everything with a mistake is taken out. */
export interface Usable {
  readonly plugins: readonly ChosenPlugin[]
  readonly providers: readonly ChosenProvider[]
  /** Plugins that are left out: what they provide is missing for a reason that is told already. */
  readonly leftOut: readonly LeftOut[]
  readonly schema: Schema
}

/**
 * Takes out of the tree, in place, every section with a mistake: a plugin, a provider, or a section of the core, which
 * then has its defaults.
 *
 * @param compose the schema for the plugins and providers that are left
 * @returns undefined if what is left is no config either
 */
export function takeOutMistakes(
  built: ConfigTree,
  chosen: Selection,
  problems: readonly Problem[],
  compose: (plugins: readonly ChosenPlugin[], providers: readonly ChosenProvider[]) => Schema,
): Usable | undefined {
  const { tree } = built
  const paths = problems.map(({ path }) => {
    const overlay = environmentKeys.find(({ variable }) => variable === path)
    return overlay ? configPath(overlay.segments) : path
  })
  const isWrong = (...segments: string[]): boolean => {
    const at = configPath(segments)
    return paths.some((path) => path === at || path.startsWith(`${at}.`) || path.startsWith(`${at}[`))
  }
  for (const section of Object.keys(tree)) {
    if (section !== 'plugins' && section !== 'providers') {
      if (isWrong(section)) delete tree[section]
      continue
    }
    const entries = tree[section]
    if (!isTable(entries)) return undefined
    for (const name of Object.keys(entries)) if (isWrong(section, name)) delete entries[name]
  }
  const plugins = chosen.plugins.filter(({ definition }) => !isWrong('plugins', definition.name))
  const leftOut = chosen.packages
    .filter(({ kind, name }) => kind === 'plugin' && isWrong('plugins', name))
    .map(
      ({ name, provides }) =>
        chosen.plugins.find(({ definition }) => definition.name === name)?.definition ?? { name, provides },
    )
  const providers = chosen.providers.filter(({ instance }) => !isWrong('providers', instance))
  const schema = compose(plugins, providers)
  if (checkConfig({ ...built, coercible: [], broken: new Set() }, schema).length > 0) return undefined
  return { plugins, providers, leftOut, schema }
}
