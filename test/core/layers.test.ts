import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { describe, it } from 'node:test'

const core = join(import.meta.dirname, '..', '..', 'core')

/** The folders of the core from the inside out: each may use those before it, and itself. */
const layers = ['contract', 'services', 'dialects', 'pipeline', 'http', 'boot', 'index.ts', 'testing', 'cli']

/** Packages that one folder alone may know. */
const owners: Readonly<Record<string, string>> = {
  koa: 'http',
  '@koa/router': 'http',
  awilix: 'boot',
  pg: 'services',
  pino: 'services',
}

interface Import {
  readonly file: string
  /** The folder below `core`, or the file that stands in `core` itself. */
  readonly folder: string
  readonly specifier: string
}

const imports = globSync('**/*.ts', { cwd: core, exclude: ['dist', 'node_modules', 'dist/**'] }).flatMap(
  (file): Import[] => {
    const text = readFileSync(join(core, file), 'utf8')
    const found = text.matchAll(/^(?:import|export|\}).*? from '([^']+)'|import\('([^']+)'\)/gm)
    return [...found].map((match) => ({ file, folder: folderOf(file), specifier: match[1] ?? match[2]! }))
  },
)

function folderOf(file: string): string {
  const [folder = ''] = file.split(sep)
  return folder
}

describe('the folders of the core', () => {
  it('depend on each other in one direction', () => {
    const wrong = imports.filter(({ file, folder, specifier }) => {
      if (!specifier.startsWith('.') || !layers.includes(folder)) return false
      const used = folderOf(normalize(join(dirname(file), specifier)))
      return layers.indexOf(used) === -1 || layers.indexOf(used) > layers.indexOf(folder)
    })
    assert.ok(imports.length > 500, 'the imports were not found')
    assert.deepEqual(
      wrong.map(({ file, specifier }) => `${file} imports ${specifier}`),
      [],
    )
  })

  it('keep some packages to themselves', () => {
    const wrong = imports.filter(({ folder, specifier }) => folder !== (owners[specifier] ?? folder))
    assert.deepEqual(
      wrong.map(({ file, specifier }) => `${file} imports ${specifier}`),
      [],
    )
  })
})
