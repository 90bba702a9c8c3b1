import { gatewayError } from '../contract/errors.ts'
import type { Route } from '../contract/plugin.ts'
import { jsonReply } from '../contract/plugin.ts'
import type { Plan } from '../pipeline/plan.ts'
import { StartupError } from '../services/problems.ts'

/** What came of a reload of the config. */
export interface ReloadResult {
  /** The number of the config that is now in force; the one the process started with is 1. */
  readonly generation: number
  /** Config paths whose value is another than before, two segments deep: `plugins.rate-limit`, `log.level`. */
  readonly changed: readonly string[]
  /** What the new config says and only a restart can do, and what the plan warns of. */
  readonly warnings: readonly string[]
}

/**
 * Reads the config again and puts it in force.
 *
 * @throws StartupError with everything that is wrong with it, and GatewayError `shutting_down`; the running config stays
 */
export type Reload = () => Promise<ReloadResult>

/** The administrator's endpoints of the kernel itself. */
export function adminRoutes(options: {
  readonly plan: Plan
  readonly generation: number
  readonly reload: Reload
}): Route[] {
  const { rows, warnings } = options.plan
  return [
    {
      method: 'GET',
      path: '/admin/v1/plan',
      scope: 'admin',
      summary: 'Show what runs, in what order and why',
      handle: () => jsonReply({ generation: options.generation, rows, warnings }),
    },
    {
      method: 'POST',
      path: '/admin/v1/reload',
      scope: 'admin',
      summary: 'Read the config again and put it in force',
      async handle() {
        const result = await options.reload().catch(refuse)
        return jsonReply({ reloaded: true, ...result })
      },
    },
  ]
}

/** A config that cannot be put in force, with all its mistakes. */
function refuse(error: unknown): never {
  if (!(error instanceof StartupError)) throw error
  const count = error.problems.length === 1 ? 'a problem' : `${error.problems.length} problems`
  throw gatewayError('invalid_request_error', `The config has ${count}; the one in force stays`, {
    cause: error,
    details: { errors: error.problems.map((problem) => ({ ...problem })) },
  })
}
