import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { StartupError } from '../services/problems.ts'

/** The config file's content, not interpreted yet. */
export interface ConfigFile {
  /** Absolute path, or undefined if there is no file. */
  readonly path: string | undefined
  /** Where relative paths of the config start: the file's directory, or the working directory. */
  readonly directory: string
  readonly content: unknown
}

/**
 * Reads the config file: the one given, else the one HADRIAN_CONFIG names, else `hadrian.toml` of the working directory.
 * No file at all is fine, one that is named and missing is not.
 *
 * @throws StartupError for a missing file, and for a syntax error with its line and column
 */
export function readConfigFile(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
  workingDirectory: string = process.cwd(),
): ConfigFile {
  const named = given ?? (environment['HADRIAN_CONFIG'] || undefined)
  const path = resolve(workingDirectory, named ?? 'hadrian.toml')
  if (!existsSync(path)) {
    if (named === undefined) return { path: undefined, directory: workingDirectory, content: {} }
    throw new StartupError([
      {
        path,
        message: 'there is no such config file',
        hint: given === undefined ? 'HADRIAN_CONFIG names it.' : 'Check the path given with --config.',
      },
    ])
  }
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new StartupError([{ path, message: `cannot be read: ${(error as Error).message}` }], { cause: error })
  }
  try {
    return { path, directory: dirname(path), content: parse(text) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [summary = 'is not TOML'] = error.message.split('\n')
    throw new StartupError(
      [{ path: `${path}:${error.line}:${error.column}`, message: summary.replace('Invalid TOML document: ', '') }],
      { cause: error },
    )
  }
}
