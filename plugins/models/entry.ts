import type { ModelFacts, NamedTarget } from '@hadrian/core/plugin'

/** What the operator set for a name, or for one target. */
export interface ModelEntry {
  /** What clients send as `model`; without targets, a target: `provider/model`. */
  readonly model: string
  readonly targets: readonly NamedTarget[] | undefined
  /** Of all of its targets. */
  readonly info: ModelFacts
}

/** An entry that is in the database. */
export interface ModelRecord extends ModelEntry {
  readonly id: string
  readonly createdAt: Date
  readonly updatedAt: Date
}
