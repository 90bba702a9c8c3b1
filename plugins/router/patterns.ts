import type { Target } from '@hadrian/core/plugin'

/** Whether a target is meant. */
export type Pattern = (target: Target) => boolean

/** `openai` is every target of that provider, `openai/gpt-4*` those whose names begin so. */
export function patternOf(source: string): Pattern {
  if (!source.includes('*')) return (target) => target.provider === source || target.name === source
  const expression = new RegExp(
    `^${source
      .split('*')
      .map((text) => RegExp.escape(text))
      .join('[^]*')}$`,
  )
  return (target) => expression.test(target.name)
}
