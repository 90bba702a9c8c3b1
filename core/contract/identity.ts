/** Who principals belong to, as the service `identity` tells it. */

import type { Owner } from './exchange.ts'

/** The kinds of owner that the service `identity` knows. */
export const ownerKinds = ['organization', 'team', 'project', 'user', 'service_account'] as const

/** One of {@link ownerKinds}. */
export type OwnerKind = (typeof ownerKinds)[number]

/**
 * The service `identity`, for plugins that authenticate. Everything is answered from memory, so that it may be asked on
 * the path of a request.
 */
export interface Identity {
  /**
   * The owner and everybody above it, nearest first, with names and limits; undefined if there is no such owner (any
   * more). The same list as long as {@link Identity.version} stays.
   */
  chain(kind: OwnerKind, id: string): readonly Owner[] | undefined
  /**
   * The id of an owner by what people and outside systems call it: the slug of an organization, the `external_id` of a
   * user, `organization/slug` of any other.
   */
  find(kind: OwnerKind, name: string): string | undefined
  /** Grows whenever anything changed: a principal that was made at another version must be made anew. */
  readonly version: number
}
