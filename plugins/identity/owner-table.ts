import { readLimits } from '@hadrian/core/plugin'
import type { Database, OwnerKind, RequestMistake, Row } from '@hadrian/core/plugin'
import type { KnownOwner } from './owner-index.ts'

/** The channel on which the database tells `kind:id` of each owner that was changed, by whomever. */
export const changesChannel = 'identity_owners'

interface OwnerRow extends Row {
  readonly id: string
  readonly name: string
  readonly found_by: string | null
  readonly organization_id: string | null
  readonly team_ids: readonly string[]
  readonly budgets: unknown
  readonly rate_limits: unknown
}

const none = `'{}'::uuid[]`
/** `organization/slug`. Slugs never change. */
const placed = `(select above.slug from identity_organizations above where above.id = o.organization_id) || '/' || slug`

/** For each kind, where its owners are and what is special about them. Children first. */
const sources: ReadonlyMap<OwnerKind, string> = new Map([
  ['service_account', source('identity_service_accounts o', 'coalesce(name, slug)', placed, 'organization_id', none)],
  [
    'project',
    source(
      'identity_projects o',
      'coalesce(name, slug)',
      placed,
      'organization_id',
      `array_remove(array[team_id], null)`,
    ),
  ],
  [
    'user',
    source(
      'identity_users o',
      'coalesce(name, external_id)',
      'external_id',
      'organization_id',
      `array(select m.team_id from identity_team_members m where m.user_id = o.id order by m.created_at, m.team_id)`,
    ),
  ],
  ['team', source('identity_teams o', 'coalesce(name, slug)', placed, 'organization_id', none)],
  ['organization', source('identity_organizations', 'coalesce(name, slug)', 'slug', 'null::uuid', none)],
])

function source(table: string, name: string, foundBy: string, organizationId: string, teamIds: string): string {
  return `select id, ${name} as name, ${foundBy} as found_by, ${organizationId} as organization_id,
    ${teamIds} as team_ids, budgets, rate_limits from ${table}`
}

const nilId = '00000000-0000-0000-0000-000000000000'

/** Reads owners for the cache. `wrong` is told what of their limits, changed by hand, cannot be understood. */
export class OwnerTable {
  readonly #database: Pick<Database, 'query'>
  readonly #wrong: (owner: KnownOwner, mistakes: readonly RequestMistake[]) => void

  constructor(
    database: Pick<Database, 'query'>,
    wrong: (owner: KnownOwner, mistakes: readonly RequestMistake[]) => void,
  ) {
    this.#database = database
    this.#wrong = wrong
  }

  /** Those of one kind that exist. */
  async read(kind: OwnerKind, ids: readonly string[]): Promise<KnownOwner[]> {
    const rows = await this.#database.query<OwnerRow>(`${sources.get(kind)!} where id = any($1::uuid[])`, [ids])
    return rows.map((row) => this.#known(kind, row))
  }

  /**
   * All owners, in pages, so that reading many does not hold up requests. An owner comes before those above it, which
   * therefore still exist when their turn comes.
   */
  async *readAll(pageSize: number): AsyncGenerator<readonly KnownOwner[], void> {
    for (const [kind, select] of sources) {
      let last = nilId
      for (;;) {
        const rows = await this.#database.query<OwnerRow>(`${select} where id > $1 order by id limit $2`, [
          last,
          pageSize,
        ])
        yield rows.map((row) => this.#known(kind, row))
        if (rows.length < pageSize) break
        last = rows.at(-1)!.id
      }
    }
  }

  #known(kind: OwnerKind, row: OwnerRow): KnownOwner {
    const mistakes: RequestMistake[] = []
    const limits = readLimits({ budgets: row.budgets, rate_limits: row.rate_limits }, (mistake) =>
      mistakes.push(mistake),
    )
    const owner: KnownOwner = {
      kind,
      id: row.id,
      name: row.name,
      limits,
      foundBy: row.found_by,
      organizationId: row.organization_id,
      teamIds: row.team_ids,
    }
    if (mistakes.length > 0) this.#wrong(owner, mistakes)
    return owner
  }
}
