import { isDeepStrictEqual } from 'node:util'
import { configPath, valueAt } from './config-path.ts'
import { isTable } from './config-tree.ts'
import type { LoadedConfig } from './config.ts'

/** Paths, two segments deep, whose value is another in the second config: `plugins.rate-limit`, `log.level`. */
export function changedPaths(before: LoadedConfig, after: LoadedConfig): string[] {
  const paths: string[] = []
  const sections = new Set([...Object.keys(before.config), ...Object.keys(after.config)])
  for (const section of sections) {
    const [old, now] = [valueAt(before.config, [section]), valueAt(after.config, [section])]
    const keys = new Set([...Object.keys(isTable(old) ? old : {}), ...Object.keys(isTable(now) ? now : {})])
    for (const key of keys)
      if (!isDeepStrictEqual(valueAt(old, [key]), valueAt(now, [key]))) paths.push(configPath([section, key]))
  }
  // The order of plugins in the file is theirs in the pipeline.
  const [old, now] = [namesOf(before), namesOf(after)]
  const kept = (name: string): boolean => old.includes(name) && now.includes(name)
  if (!isDeepStrictEqual(old.filter(kept), now.filter(kept))) paths.push('plugins')
  return paths.toSorted()
}

function namesOf({ plugins }: LoadedConfig): string[] {
  return plugins.map(({ definition }) => definition.name)
}

/** What belongs to the process: sockets, the database, the journal, telemetry. */
const ofProcess: readonly (readonly [section: string, key: string])[] = [
  ['server', 'host'],
  ['server', 'port'],
  ['server', 'metrics'],
  ['database', 'url'],
  ['journal', 'sync'],
  ['telemetry', 'service_name'],
]

/** Of all that a new config says, what only a restart can put in force. `started` is the config the process began with. */
export function restartWarnings(started: LoadedConfig, now: LoadedConfig): string[] {
  const warnings = ofProcess
    .filter((segments) => !isDeepStrictEqual(valueAt(started.config, segments), valueAt(now.config, segments)))
    .map((segments) => `${configPath(segments)}: needs a restart; the gateway goes on with what it started with`)
  const versions = new Map(packagesOf(started).map(([name, version]) => [name, version]))
  for (const [name, version] of packagesOf(now)) {
    const running = versions.get(name)
    if (running !== undefined && running !== version)
      warnings.push(`${name}: version ${version} is installed, ${running} runs; new code needs a restart`)
  }
  return warnings
}

function packagesOf({ plugins, providers }: LoadedConfig): [name: string, version: string][] {
  return [...plugins, ...providers].map(({ descriptor }) => [
    `${descriptor.kind} ${descriptor.name}`,
    descriptor.version,
  ])
}
