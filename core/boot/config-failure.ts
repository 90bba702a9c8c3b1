import { StartupError } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import type { LoadedConfig } from './config.ts'

/** Mistakes in a config, and what of it is free of them. */
export class ConfigError extends StartupError {
  // Private, since it has every credential in it, and whoever logs an error writes all that can be seen of it.
  readonly #usable: LoadedConfig | undefined

  constructor(problems: readonly Problem[], usable: LoadedConfig | undefined) {
    super(problems)
    this.#usable = usable
  }

  /** The config without every section that has a mistake; undefined if too little is left to set up. */
  get usable(): LoadedConfig | undefined {
    return this.#usable
  }
}

/**
 * Adds to the mistakes of a config those which only the setup of plugins and providers finds, so that one look shows all.
 *
 * @param setUp sets up what is usable, and takes it down again
 * @throws what it was given, with more problems if there are any
 */
export async function withSetupProblems(
  error: unknown,
  setUp: (usable: LoadedConfig) => Promise<unknown>,
): Promise<never> {
  if (!(error instanceof ConfigError) || !error.usable) throw error
  try {
    await setUp(error.usable)
  } catch (further) {
    if (further instanceof StartupError) throw new StartupError([...error.problems, ...further.problems])
  }
  throw error
}
