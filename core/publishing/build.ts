/**
 * `npm run build`: compiles core and every bundled package to its `dist`, and copies what they read at run time there.
 * `npm pack` of each directory then makes the tarball to publish.
 */

import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { coreDirectory, workspacePackages } from '../boot/packages.ts'

const root = join(coreDirectory, '..')
const directories = [coreDirectory, ...workspacePackages()]

// Files of sources that are gone would be published too.
for (const directory of directories) rmSync(join(directory, 'dist'), { recursive: true, force: true })

const projects = directories.map((directory) => join(directory, 'tsconfig.build.json'))
const { status } = spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-b', ...projects], {
  cwd: root,
  stdio: 'inherit',
})
if (status !== 0) process.exit(status ?? 1)

copyFiles(join(root, 'schemas'), join(coreDirectory, 'dist', 'schemas'), '.schema.json')
for (const directory of directories) {
  copyFiles(join(directory, 'migrations'), join(directory, 'dist', 'migrations'), '.sql')
  cpSync(join(root, 'LICENSE'), join(directory, 'dist', 'LICENSE'))
}

/** Copies the files of a directory that end like this; a missing directory has none. */
function copyFiles(from: string, to: string, ending: string): void {
  if (!existsSync(from)) return
  cpSync(from, to, { recursive: true, filter: (file) => file === from || file.endsWith(ending) })
}
