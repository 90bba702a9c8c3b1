import assert from 'node:assert/strict'
import { realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { discoverPackages } from '../../core/boot/discover.ts'
import type { Loaded } from '../../core/boot/discover.ts'
import { directoryWith, lines, packageFiles, workspaceFiles } from './boot-fixtures.ts'

const plugin = (name: string, api = 1): { kind: string; name: string; api: number } => ({ kind: 'plugin', name, api })

function problemOf(loaded: Loaded): string {
  assert.ok('problem' in loaded)
  return lines([loaded.problem])[0]!
}

test('finds packages beside the core, direct dependencies and listed paths, and no other', (context) => {
  const directory = directoryWith(context, {
    ...workspaceFiles(),
    ...packageFiles('elsewhere/listed', plugin('listed')),
    'site/package.json': {
      dependencies: { direct: '1', plain: '1', gone: '1' },
      optionalDependencies: { '@scope/optional': '1' },
    },
    ...packageFiles('site/node_modules/direct', plugin('direct'), { package: { dependencies: { transitive: '1' } } }),
    ...packageFiles('site/node_modules/@scope/optional', { kind: 'provider', name: 'optional', api: 1 }),
    ...packageFiles('site/node_modules/transitive', plugin('transitive')),
    'site/node_modules/plain/package.json': { name: 'plain' },
  })
  const { packages, problems, missing } = discoverPackages({
    directory: join(directory, 'site'),
    paths: ['../elsewhere/listed'],
    core: join(directory, 'core'),
  })
  assert.deepEqual(problems, [])
  assert.deepEqual(missing, ['gone'])
  const outside = packages.filter(({ source }) => source !== 'bundled')
  assert.deepEqual(
    outside.map(({ kind, name, source, version }) => [kind, name, source, version]),
    [
      ['plugin', 'direct', 'dependency', '1.2.3'],
      ['provider', 'optional', 'dependency', '1.2.3'],
      ['plugin', 'listed', 'path', '1.2.3'],
    ],
  )
  assert.ok(packages.some(({ name, source }) => name === 'auth' && source === 'bundled'))
})

test('dependencies hoisted to a folder above are found', (context) => {
  const directory = directoryWith(context, {
    'site/app/package.json': { dependencies: { direct: '1' } },
    ...packageFiles('site/node_modules/direct', plugin('direct')),
  })
  const { packages } = discoverPackages({ directory: join(directory, 'site', 'app'), core: join(directory, 'core') })
  assert.deepEqual(
    packages.map(({ name }) => name),
    ['direct'],
  )
})

test('two packages of one name are a problem that lists both, the same package twice is one', (context) => {
  const directory = directoryWith(context, {
    ...packageFiles('one', plugin('same')),
    ...packageFiles('two', plugin('same')),
  })
  symlinkSync(join(directory, 'one'), join(directory, 'link'))
  const discover = (paths: string[]): ReturnType<typeof discoverPackages> =>
    discoverPackages({ directory, paths, core: join(directory, 'core') })
  assert.deepEqual(discover(['one', 'link']).problems, [])
  const real = realpathSync(directory)
  assert.deepEqual(lines(discover(['one', 'two']).problems), [
    `plugins.same: two packages are called "same": ${real}/one and ${real}/two (Remove one of them.)`,
  ])
})

test('a wrong package field and a wrong path are problems', (context) => {
  const directory = directoryWith(context, {
    ...packageFiles('kind', { kind: 'plugni', name: 'a', api: 1 }),
    ...packageFiles('name', { kind: 'plugin', name: '../a', api: 1 }),
    ...packageFiles('api', { kind: 'plugin', name: 'a', api: 1.5 }),
    'text/package.json': { hadrian: 'plugin' },
    'plain/package.json': {},
    'broken/package.json': '{',
  })
  const { problems } = discoverPackages({
    directory,
    paths: ['kind', 'name', 'api', 'text', 'plain', 'broken', 'nowhere'],
    core: join(directory, 'core'),
  })
  const real = realpathSync(directory)
  assert.deepEqual(
    lines(problems).map((line) => line.replaceAll(real, '').replaceAll(directory, '')),
    [
      '/kind/package.json: "hadrian.kind" must be "plugin" or "provider" (Did you mean "plugin"?)',
      '/name/package.json: "hadrian.name" must be a kebab-case name such as "rate-limit"',
      '/api/package.json: "hadrian.api" must be the number of the contract version',
      '/text/package.json: "hadrian" must be an object with kind, name and api',
      'packages.paths[4]: /plain is no package of a plugin or provider (Its package.json needs "hadrian": { "kind": "plugin", "name": "...", "api": 1 }.)',
      "packages.paths[5]: package.json is not JSON: Expected property name or '}' in JSON at position 1 (line 1 column 2)",
      'packages.paths[6]: there is no directory /nowhere',
    ],
  )
})

test('what is wrong with the code of a package is a problem', async (context) => {
  const code = (name: string, text: string): Record<string, string | object> =>
    packageFiles(name, plugin(name), { code: text })
  const directory = directoryWith(context, {
    ...packageFiles('later', plugin('later', 2)),
    ...code('throwing', 'throw new Error("first line\\nsecond line")'),
    ...code('other', "export default { name: 'another', api: 1 }"),
    ...code('empty', 'export const x = 1'),
    ...code('incomplete', "export default { name: 'incomplete', api: 1, setup() {} }"),
    ...packageFiles('unbuilt', plugin('unbuilt'), { package: { exports: './dist/index.js' } }),
    ...packageFiles('typed', plugin('typed'), { package: { exports: './index.ts' } }),
  })
  const names = ['later', 'throwing', 'other', 'empty', 'incomplete', 'unbuilt']
  const { packages, problems } = discoverPackages({ directory, paths: names, core: join(directory, 'core') })
  assert.deepEqual(problems, [])
  const real = realpathSync(directory)
  const found: string[] = []
  for (const descriptor of packages) found.push(problemOf(await descriptor.load()).replaceAll(real, ''))
  assert.deepEqual(found, [
    'plugins.later: /later is written for version 2 of the plugin contract; this gateway has version 1 (Update the gateway.)',
    'plugins.throwing: /throwing could not be loaded: first line',
    'plugins.other: /other exports a plugin called "another", its package.json says "other"',
    'plugins.empty: /empty must export default definePlugin({ ... })',
    'plugins.incomplete: /incomplete has no "options" schema of type object; an empty one is { type: "object" }',
    'plugins.unbuilt: /unbuilt has no file to load (Its package.json must name one under "exports" or "main"; build the package if it has not been.)',
  ])
})

test('a package where no core is installed imports the running one', async (context) => {
  const directory = directoryWith(
    context,
    packageFiles('far', plugin('far'), {
      code: `import { definePlugin } from '@hadrian/core/plugin'
        export default definePlugin({ name: 'far', api: 1, options: { type: 'object' }, setup: () => ({}) })`,
    }),
  )
  const { packages } = discoverPackages({ directory, paths: ['far'], core: join(directory, 'core') })
  const loaded = await packages[0]!.load()
  assert.ok('definition' in loaded, JSON.stringify(loaded))
  await assert.rejects(import(join(directory, 'far', 'missing.js')), { code: 'ERR_MODULE_NOT_FOUND' })
})

test('a package with a copy of the core keeps it, and conditions of its exports are followed', async (context) => {
  const directory = directoryWith(context, {
    ...packageFiles('far', plugin('far'), {
      package: { exports: { '.': { require: './no.cjs', import: { node: './index.js' } } } },
      code: `import { definePlugin } from '@hadrian/core/plugin'
        export default definePlugin({ name: 'far' })`,
    }),
    'far/node_modules/@hadrian/core/package.json': {
      name: '@hadrian/core',
      type: 'module',
      exports: { './plugin': './plugin.js' },
    },
    'far/node_modules/@hadrian/core/plugin.js':
      "export const definePlugin = (d) => ({ ...d, api: 1, own: true, options: { type: 'object' }, setup() {} })",
  })
  const { packages } = discoverPackages({ directory, paths: ['far'], core: join(directory, 'core') })
  const loaded = await packages[0]!.load()
  assert.ok('definition' in loaded, JSON.stringify(loaded))
  assert.equal((loaded.definition as unknown as { own: boolean }).own, true)
})

test('source is never loaded from node_modules, where Node strips no types', async (context) => {
  const exports = { '.': { 'hadrian-source': './index.ts', default: './index.js' } }
  const source = 'throw new Error("this is the source" as string)'
  const directory = directoryWith(context, {
    'package.json': { dependencies: { both: '1', typed: '1' } },
    ...packageFiles('node_modules/both', plugin('both'), { package: { exports } }),
    'node_modules/both/index.ts': source,
    ...packageFiles('node_modules/typed', plugin('typed'), { package: { exports: './index.ts' } }),
    'node_modules/typed/index.ts': source,
    ...packageFiles('linked', plugin('linked'), { package: { exports } }),
    'linked/index.ts': source,
  })
  const { packages } = discoverPackages({ directory, paths: ['linked'], core: join(directory, 'core') })
  const [both, typed, linked] = await Promise.all(packages.map((descriptor) => descriptor.load()))
  assert.ok('definition' in both!, JSON.stringify(both))
  assert.match(problemOf(typed!), /\(Packages under node_modules must ship JavaScript\.\)$/)
  assert.match(problemOf(linked!), /this is the source$/)
})
