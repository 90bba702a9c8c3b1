import type { Limits, Owner, OwnerKind } from '@hadrian/core/plugin'
import { ownerKinds } from '@hadrian/core/plugin'

/** Which owner: what the database tells of a change. */
export interface OwnerKey {
  readonly kind: OwnerKind
  readonly id: string
}

/** An owner as it is in the database. */
export interface KnownOwner extends OwnerKey {
  readonly name: string
  readonly limits: Limits
  readonly organizationId: string | null
  /** The team of a project, the teams of a user in the order of joining. */
  readonly teamIds: readonly string[]
  /** What {@link OwnerIndex.find} finds it by. */
  readonly foundBy: string | null
}

interface Node {
  readonly known: KnownOwner
  readonly owner: Owner
  chain?: { readonly version: number; readonly owners: readonly Owner[] }
}

/** Owners by kind and id, and by name. About 1 kB each with its chain. */
export class OwnerIndex {
  readonly #nodes = new Map<OwnerKind, Map<string, Node>>(ownerKinds.map((kind) => [kind, new Map()]))
  readonly #names = new Map<OwnerKind, Map<string, string>>(ownerKinds.map((kind) => [kind, new Map()]))
  #changes = 0

  get size(): number {
    let size = 0
    for (const nodes of this.#nodes.values()) size += nodes.size
    return size
  }

  has(kind: OwnerKind, id: string): boolean {
    return this.#nodes.get(kind)?.has(id) === true
  }

  find(kind: OwnerKind, name: string): string | undefined {
    return this.#names.get(kind)?.get(name)
  }

  set(known: KnownOwner): void {
    const { kind, id, name, limits, foundBy } = known
    this.delete(known)
    this.#nodes.get(kind)!.set(id, { known, owner: { kind, id, name, ...limits } })
    if (foundBy !== null) this.#names.get(kind)!.set(foundBy, id)
  }

  delete({ kind, id }: OwnerKey): void {
    this.#changes += 1
    const nodes = this.#nodes.get(kind)!
    const foundBy = nodes.get(id)?.known.foundBy
    nodes.delete(id)
    // Unless it is somebody else's by now.
    if (typeof foundBy === 'string' && this.#names.get(kind)!.get(foundBy) === id)
      this.#names.get(kind)!.delete(foundBy)
  }

  /**
   * Project, its team, organization; team, organization; service account, organization; user, its teams, its own
   * organization, those of the teams. One above that is not known was just deleted, and what it limited with it.
   */
  chain(kind: OwnerKind, id: string): readonly Owner[] | undefined {
    const node = this.#nodes.get(kind)?.get(id)
    if (!node) return undefined
    if (node.chain?.version !== this.#changes) node.chain = { version: this.#changes, owners: this.#walk(node) }
    return node.chain.owners
  }

  #walk({ known, owner }: Node): readonly Owner[] {
    const teams = known.teamIds.flatMap((id) => this.#nodes.get('team')!.get(id) ?? [])
    const organizationIds = new Set([known, ...teams.map((team) => team.known)].map((each) => each.organizationId))
    organizationIds.delete(null)
    const organizations = [...organizationIds].flatMap((id) => this.#nodes.get('organization')!.get(id!) ?? [])
    return [owner, ...[...teams, ...organizations].map((node) => node.owner)]
  }
}

/** The owners that this one's chain goes through. */
export function ownersAbove({ organizationId, teamIds }: KnownOwner): OwnerKey[] {
  return [
    ...teamIds.map((id): OwnerKey => ({ kind: 'team', id })),
    ...(organizationId === null ? [] : [{ kind: 'organization', id: organizationId } as const]),
  ]
}
