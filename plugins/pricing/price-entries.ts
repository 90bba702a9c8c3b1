import type { Target } from '@hadrian/core/plugin'
import type { PriceRecord } from './price-table.ts'

interface InstanceEntries {
  readonly exact: Map<string, PriceRecord>
  /** Those whose model ends in an asterisk, the longest first. */
  readonly beginnings: { readonly beginning: string; readonly record: PriceRecord }[]
}

/** The operator's prices, to be found by target: the one with its very name first, then the longest beginning of it. */
export class PriceEntries {
  readonly #instances = new Map<string, InstanceEntries>()

  constructor(records: readonly PriceRecord[] = []) {
    for (const record of records) {
      const entries = this.#of(record.provider)
      if (record.model.endsWith('*')) entries.beginnings.push({ beginning: record.model.slice(0, -1), record })
      else entries.exact.set(record.model, record)
    }
    for (const { beginnings } of this.#instances.values())
      beginnings.sort((one, other) => other.beginning.length - one.beginning.length)
  }

  find({ provider, model }: Target): PriceRecord | undefined {
    const entries = this.#instances.get(provider)
    return entries?.exact.get(model) ?? entries?.beginnings.find(({ beginning }) => model.startsWith(beginning))?.record
  }

  #of(provider: string): InstanceEntries {
    let entries = this.#instances.get(provider)
    if (!entries) this.#instances.set(provider, (entries = { exact: new Map(), beginnings: [] }))
    return entries
  }
}
