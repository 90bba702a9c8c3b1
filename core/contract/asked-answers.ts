import type { GenerateRequest } from './canonical.ts'

/**
 * How many answers a request asks for, each of which may have the whole output ceiling: `n`, or `best_of` where that is
 * more, for each of the prompts of the completions API.
 */
export function askedAnswers(request: GenerateRequest): number {
  return promptsOf(request) * answersPerPrompt(request)
}

/** `best_of` of the completions API makes that many answers and shows `n` of them. */
function answersPerPrompt({ n = 1, extra }: GenerateRequest): number {
  const bestOf = extra['best_of']
  return Math.max(1, n, typeof bestOf === 'number' && Number.isFinite(bestOf) ? Math.ceil(bestOf) : 1)
}

/** The completions API takes several prompts at once, as strings or as lists of tokens, and answers each. */
function promptsOf({ operation, extra }: GenerateRequest): number {
  const prompt = extra['prompt']
  if (operation !== 'completions' || !Array.isArray(prompt)) return 1
  return prompt.length > 0 && typeof prompt[0] === 'number' ? 1 : Math.max(1, prompt.length)
}
