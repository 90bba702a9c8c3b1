/** One thing that keeps the gateway from starting, or a command from doing its work. */
export interface Problem {
  /** Where: a config path such as `plugins.rate-limit.requests`, a file, or a plugin. */
  readonly path: string
  readonly message: string
  /** What to do about it: the nearest right spelling, the command to run. */
  readonly hint?: string
}

/** All mistakes found at once. The CLI prints the list without a stack trace and exits with 1. */
export class StartupError extends Error {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(problems.map(describeProblem).join('\n'), options)
    this.name = 'StartupError'
    this.problems = problems
  }
}

/** One problem as one line, its hint on a second. */
export function describeProblem({ path, message, hint }: Problem): string {
  return `${path === '' ? '' : `${path}: `}${message}${hint === undefined ? '' : `\n    ${hint}`}`
}

/** The first line of whatever was thrown, for a message about it. */
export function firstLine(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown)
  return text.split('\n')[0] ?? ''
}
