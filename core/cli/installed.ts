import { readConfigFile } from '../boot/config-file.ts'
import { valueAt } from '../boot/config-path.ts'
import { discoverPackages } from '../boot/discover.ts'
import type { PackageDescriptor } from '../boot/discover.ts'
import type { Input } from './command.ts'
import { text } from './command.ts'

/** Every installed package, also where the config has mistakes. */
export function installedPackages(input: Pick<Input, 'options' | 'environment'>): readonly PackageDescriptor[] {
  const { directory, content } = readConfigFile(text(input.options, 'config'), input.environment)
  const paths = valueAt(content, ['packages', 'paths'])
  const listed = Array.isArray(paths) ? paths.filter((path) => typeof path === 'string') : []
  return discoverPackages({ directory, paths: listed }).packages
}
