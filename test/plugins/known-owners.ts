/** Owners in memory, for tests of plugins that ask for them. */
import { definePlugin } from '../../core/contract/plugin.ts'
import type { Identity, Owner, OwnerKind, PluginDefinition } from '../../core/contract/plugin.ts'

/** The service `identity`, over what a test puts into it. */
export class KnownOwners implements Identity {
  readonly #chains = new Map<string, readonly Owner[]>()
  readonly #names = new Map<string, string>()
  /** How often a chain was asked for. */
  asked = 0
  version = 1

  chain(kind: OwnerKind, id: string): readonly Owner[] | undefined {
    this.asked++
    return this.#chains.get(`${kind} ${id}`)
  }

  find(kind: OwnerKind, name: string): string | undefined {
    return this.#names.get(`${kind} ${name}`)
  }

  /** Makes the first of the chain an owner, also known by `name`; later ones are those above it. */
  set(chain: readonly [Owner, ...Owner[]], name?: string): void {
    const [{ kind, id }] = chain
    this.#chains.set(`${kind} ${id}`, chain)
    if (name !== undefined) this.#names.set(`${kind} ${name}`, id)
    this.version++
  }

  delete(kind: OwnerKind, id: string): void {
    this.#chains.delete(`${kind} ${id}`)
    this.version++
  }
}

/** A plugin that provides {@link KnownOwners}, in the place of the one with a database. */
export function ownersPlugin(owners: KnownOwners = new KnownOwners()): PluginDefinition {
  return definePlugin({
    name: 'identity',
    api: 1,
    options: { type: 'object', properties: {}, additionalProperties: false },
    provides: ['identity'],
    setup: () => ({ services: { identity: owners } }),
  })
}
