import { relative } from 'node:path'
import type { PackageKind } from '../boot/discover.ts'
import { coreDirectory, gatewayVersion } from '../boot/packages.ts'
import { pluginApi } from '../contract/plugin.ts'
import { providerApi } from '../contract/provider.ts'
import { pluginFiles } from './plugin-template.ts'
import { providerFiles } from './provider-template.ts'

/** Files of a package by their path in it. */
export type PackageFiles = Readonly<Record<string, string>>

/** What {@link packageTemplate} writes. */
export interface PackageTemplate {
  readonly kind: PackageKind
  readonly name: string
  /** Where it will lie. */
  readonly directory: string
  /** Whether the gateway that runs is TypeScript source, with which the package is then tested. */
  readonly isSource: boolean
}

/** Versions that the gateway itself is built with. */
const typescriptVersion = '7.0.2'
const nodeTypesVersion = '26.6.6'

/** A package that works, passes its tests, and can be published. */
export function packageTemplate({ kind, name, directory, isSource }: PackageTemplate): PackageFiles {
  const core = isSource ? `file:${relative(directory, coreDirectory).replaceAll('\\', '/')}` : `^${gatewayVersion()}`
  const manifest = {
    name: `hadrian-${kind}-${name}`,
    version: '0.1.0',
    description: kind === 'plugin' ? 'Refuses prompts with too many words.' : `Models of ${name}.`,
    license: 'MIT',
    files: ['dist'],
    type: 'module',
    exports: './dist/index.js',
    scripts: {
      // The launcher finds a Node that runs TypeScript, whatever that of the machine is.
      test: 'hadrian --run index.test.ts',
      types: 'tsc --noEmit -p .',
      // Only takes the types away: what they are checked against need not be built.
      build: 'tsc -p . --noResolve --noCheck',
      prepack: 'npm run types && npm run build',
    },
    peerDependencies: { '@hadrian/core': `^${gatewayVersion()}` },
    devDependencies: { '@hadrian/core': core, '@types/node': nodeTypesVersion, typescript: typescriptVersion },
    hadrian: { kind, name, api: kind === 'plugin' ? pluginApi : providerApi },
  }
  return {
    'package.json': json(manifest),
    'tsconfig.json': json(isSource ? withSource(compilerConfig) : compilerConfig),
    '.gitignore': 'dist\nnode_modules\n',
    ...(kind === 'plugin' ? pluginFiles(name) : providerFiles(name)),
  }
}

const compilerConfig = {
  compilerOptions: {
    target: 'esnext',
    module: 'nodenext',
    strict: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
    skipLibCheck: true,
    types: ['node'],
    rootDir: '.',
    outDir: 'dist',
  },
  include: ['*.ts'],
  exclude: ['*.test.ts', 'dist'],
}

/** Types of a gateway in source: its own files are then compiled too, but not written. */
function withSource({ compilerOptions, ...rest }: typeof compilerConfig): object {
  const { rootDir: _, ...options } = compilerOptions
  return { compilerOptions: { ...options, customConditions: ['hadrian-source'] }, ...rest }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
