/**
 * `npm run docs`: writes the options of every bundled package into its README, and the error codes into that of the
 * project. A place to fill is a pair of comments, `<!-- options -->` and `<!-- /options -->`.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { discoverPackages } from '../boot/discover.ts'
import { coreDirectory } from '../boot/packages.ts'
import { describeProblem } from '../services/problems.ts'
import { errorsText, fill, optionsText } from './readme-tables.ts'

/** A README as it is and as it should be. */
export interface Readme {
  readonly file: string
  /** Undefined if the file is missing. */
  readonly text: string | undefined
  /** Undefined if it has no place for what it should hold. */
  readonly filled: string | undefined
}

/** The README of the project and those of its packages. */
export async function readmes(): Promise<readonly Readme[]> {
  const root = join(coreDirectory, '..')
  const { packages } = discoverPackages({ directory: root })
  const found = packages.map(async ({ directory, load }) => {
    const loaded = await load()
    if ('problem' in loaded) throw new Error(describeProblem(loaded.problem))
    return readme(directory, 'options', optionsText(loaded.definition))
  })
  return [readme(root, 'errors', errorsText()), ...(await Promise.all(found))]
}

function readme(directory: string, name: string, content: string): Readme {
  const file = join(directory, 'README.md')
  if (!existsSync(file)) return { file, text: undefined, filled: undefined }
  const text = readFileSync(file, 'utf8')
  return { file, text, filled: fill(text, name, content) }
}

if (import.meta.main) {
  for (const { file, text, filled } of await readmes()) {
    if (filled === undefined) console.error(`${file} ${text === undefined ? 'is missing' : 'has no place to fill'}`)
    else if (filled !== text) {
      writeFileSync(file, filled)
      console.log(`wrote ${file}`)
    }
  }
}
