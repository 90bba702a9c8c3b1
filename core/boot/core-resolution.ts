import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { coreDirectory } from './packages.ts'

let registered = false

/**
 * Lets packages that lie where no `@hadrian/core` is installed import it: where their own lookup fails, the running
 * core answers. A package with a copy of its own keeps that.
 */
export function shareCore(): void {
  if (registered) return
  registered = true
  const parentURL = pathToFileURL(join(coreDirectory, 'package.json')).href
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier !== '@hadrian/core' && !specifier.startsWith('@hadrian/core/'))
        return nextResolve(specifier, context)
      try {
        return nextResolve(specifier, context)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error
        return nextResolve(specifier, { ...context, parentURL })
      }
    },
  })
}
