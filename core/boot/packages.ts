import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isTable } from './config-tree.ts'

/** The parts of a package.json that matter here; everything may be missing or wrong. */
export interface Manifest {
  readonly name?: unknown
  readonly version?: unknown
  readonly description?: unknown
  readonly main?: unknown
  readonly exports?: unknown
  readonly workspaces?: unknown
  readonly dependencies?: unknown
  readonly optionalDependencies?: unknown
  readonly hadrian?: unknown
}

/** The package.json of a directory, or undefined if there is none. Throws a SyntaxError if it is not JSON. */
export function readManifest(directory: string): Manifest | undefined {
  const path = join(directory, 'package.json')
  if (!existsSync(path)) return undefined
  const manifest: unknown = JSON.parse(readFileSync(path, 'utf8'))
  return isTable(manifest) ? manifest : {}
}

/** The directory of the running core package. */
export const coreDirectory: string = findCore(import.meta.dirname)

function findCore(start: string): string {
  let directory = start
  while (readQuietly(directory)?.name !== '@hadrian/core') {
    const parent = dirname(directory)
    if (parent === directory) return dirname(start)
    directory = parent
  }
  return directory
}

/** The version of the running core. */
export function gatewayVersion(): string {
  const version = readManifest(coreDirectory)?.version
  return typeof version === 'string' ? version : '0.0.0'
}

/** Directories of the packages beside the running core, if it runs in its workspace. */
export function workspacePackages(core: string = coreDirectory): string[] {
  const root = dirname(core)
  const patterns = readQuietly(root)?.workspaces
  if (!Array.isArray(patterns)) return []
  const found: string[] = []
  for (const pattern of patterns as unknown[]) {
    if (typeof pattern !== 'string' || !pattern.endsWith('/*')) continue
    const parent = join(root, pattern.slice(0, -2))
    if (!existsSync(parent)) continue
    for (const entry of readdirSync(parent, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1)))
      if (entry.isDirectory() && existsSync(join(parent, entry.name, 'package.json')))
        found.push(join(parent, entry.name))
  }
  return found
}

/** The direct dependencies of a directory: where each is installed, and which are not. */
export function directDependencies(directory: string): { readonly installed: string[]; readonly missing: string[] } {
  const manifest = readQuietly(directory)
  const installed: string[] = []
  const missing: string[] = []
  const names = [manifest?.dependencies, manifest?.optionalDependencies].flatMap((list) =>
    isTable(list) ? Object.keys(list) : [],
  )
  for (const name of new Set(names)) {
    const found = findInstalled(directory, name)
    if (found === undefined) missing.push(name)
    else installed.push(found)
  }
  return { installed, missing }
}

/** Looks through the node_modules of a directory and of those above it, as Node does. */
function findInstalled(directory: string, name: string): string | undefined {
  for (let current = directory; ; current = dirname(current)) {
    const candidate = join(current, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return candidate
    if (dirname(current) === current) return undefined
  }
}

function readQuietly(directory: string): Manifest | undefined {
  try {
    return readManifest(directory)
  } catch {
    return undefined
  }
}

/** The file that importing a package by its name would run, or undefined if its package.json names none that exists. */
export function packageEntry(directory: string, manifest: Manifest): string | undefined {
  const fromExports = manifest.exports === undefined ? undefined : exportTarget(manifest.exports, conditions(directory))
  const candidates =
    manifest.exports === undefined
      ? [typeof manifest.main === 'string' ? manifest.main : undefined, 'index.js', 'index.ts']
      : [fromExports]
  return candidates
    .filter((candidate) => candidate !== undefined)
    .map((candidate) => join(directory, candidate))
    .find((file) => existsSync(file))
}

/** Conditions of `exports` that hold. Source is taken only outside node_modules, where Node strips no types. */
function conditions(directory: string): ReadonlySet<string> {
  const installed = /[\\/]node_modules[\\/]/.test(realpathSync(directory))
  const source = import.meta.filename.endsWith('.ts') && !installed
  return new Set([...(source ? ['hadrian-source'] : []), 'node', 'import', 'module-sync', 'default'])
}

/** The target of `exports` for the package's main entry. */
function exportTarget(exports: unknown, active: ReadonlySet<string>): string | undefined {
  if (typeof exports === 'string') return exports
  if (Array.isArray(exports)) {
    for (const option of exports) {
      const target = exportTarget(option, active)
      if (target !== undefined) return target
    }
    return undefined
  }
  if (!isTable(exports)) return undefined
  if (Object.hasOwn(exports, '.')) return exportTarget(exports['.'], active)
  for (const [condition, option] of Object.entries(exports)) {
    if (!active.has(condition)) continue
    const target = exportTarget(option, active)
    if (target !== undefined) return target
  }
  return undefined
}
