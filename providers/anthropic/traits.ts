/** How a model differs from its siblings on the wire. */
export interface ModelTraits {
  /**
   * How it is told to think: by a token budget, by an effort (`adaptive`), by either of the two, or not at all.
   */
  readonly thinking: 'none' | 'budget' | 'either' | 'adaptive'
  /** Whether it takes temperature and top_p together (`free`), one of them (`single`), or neither (`fixed`). */
  readonly sampling: 'free' | 'single' | 'fixed'
  /** Takes `output_config.format` and strict tools. */
  readonly structuredOutput: boolean
}

/**
 * Families by name, first match wins. Source: the model overview and the pages on extended thinking, adaptive thinking
 * and structured outputs of the Anthropic documentation. Claude models without a line are taken for newer ones than the
 * table knows; other names belong to compatible servers, which implement the older features.
 */
const families: readonly (readonly [RegExp, ModelTraits])[] = [
  [/claude-(instant|2|3(?![-.]7))/, { thinking: 'none', sampling: 'free', structuredOutput: false }],
  [/claude-3[-.]7/, { thinking: 'budget', sampling: 'free', structuredOutput: false }],
  [
    /(opus|sonnet|haiku)-4([-.]0)?($|[^-.\d]|-\d{8})/,
    { thinking: 'budget', sampling: 'free', structuredOutput: false },
  ],
  [/(opus|sonnet|haiku)-4[-.][1-5](?!\d)/, { thinking: 'budget', sampling: 'single', structuredOutput: true }],
  [/(opus|sonnet|haiku)-4[-.]6(?!\d)/, { thinking: 'either', sampling: 'single', structuredOutput: true }],
  [/claude/, { thinking: 'adaptive', sampling: 'fixed', structuredOutput: true }],
  [/(?:)/, { thinking: 'budget', sampling: 'free', structuredOutput: false }],
]

/** What the operator says about one model, over the table. */
export interface TraitOptions {
  readonly thinking?: ModelTraits['thinking']
  readonly sampling?: ModelTraits['sampling']
  readonly structured_output?: boolean
}

/** The traits of a model: by its name, then by the operator's entry for exactly this name or for a prefix ending in `*`. */
export function traitsOf(model: string, overrides: Readonly<Record<string, TraitOptions>> = {}): ModelTraits {
  const traits = families.find(([pattern]) => pattern.test(model))![1]
  const name = Object.keys(overrides)
    .filter((name) => name === model || (name.endsWith('*') && model.startsWith(name.slice(0, -1))))
    .toSorted((a, b) => b.length - a.length)[0]
  const override = name === undefined ? undefined : overrides[name]
  return {
    thinking: override?.thinking ?? traits.thinking,
    sampling: override?.sampling ?? traits.sampling,
    structuredOutput: override?.structured_output ?? traits.structuredOutput,
  }
}
