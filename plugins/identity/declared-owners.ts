import type { Database, Queryable } from '@hadrian/core/plugin'
import type { DeclaredOwner } from './declaration.ts'
import { placeholder, stored } from './fields.ts'
import { resourceOf, resources } from './resources.ts'
import type { Resource } from './resources.ts'

/**
 * Writes what the config file declares, and lets go of what it declared before. Nothing is deleted: what is no longer
 * declared stays as it is, and the admin API may change it again.
 */
export function writeDeclared(database: Database, declared: readonly DeclaredOwner[]): Promise<void> {
  return database.tx(async (transaction) => {
    // One instance at a time: of two that start together, each would wait for rows of the other.
    await transaction.query('lock table identity_organizations in share row exclusive mode')
    const organizations = new Map<string, string>()
    const teams = new Map<string, string>()
    const kept = new Map(resources.map(({ table }) => [table, [] as string[]]))
    for (const { kind, slug, organization = '', teams: memberships, values } of declared) {
      const resource = resourceOf(kind)
      const joined = Object.entries(memberships).map(([team, role]) => ({ teamId: teams.get(team), role }))
      const id = await upsert(transaction, resource, {
        ...values,
        ...(kind !== 'organization' && { organization_id: organizations.get(organization) ?? null }),
        ...(kind === 'project' && { team_id: joined[0]?.teamId ?? null }),
        managed_by: 'config',
      })
      kept.get(resource.table)!.push(id)
      if (kind === 'organization') organizations.set(slug, id)
      if (kind === 'team') teams.set(`${organization}/${slug}`, id)
      if (kind !== 'user') continue
      for (const { teamId, role } of joined)
        await transaction.query(
          `insert into identity_team_members as present (team_id, user_id, role) values ($1, $2, $3)
           on conflict (team_id, user_id) do update set role = excluded.role where present.role <> excluded.role`,
          [teamId, id, role],
        )
    }
    for (const [table, ids] of kept)
      await transaction.query(
        `update ${table} set managed_by = 'api' where managed_by = 'config' and not id = any($1::uuid[])`,
        [ids],
      )
  })
}

/** Writes only what differs, so that a start without news tells the other instances nothing. Resolves to the id. */
async function upsert(
  transaction: Queryable,
  { kind, table, fields }: Resource,
  row: Readonly<Record<string, unknown>>,
): Promise<string> {
  const columns = Object.keys(row)
  const name = kind === 'user' ? 'external_id' : 'slug'
  const keys = kind === 'organization' || kind === 'user' ? [name] : ['organization_id', name]
  const others = columns.filter((column) => !keys.includes(column))
  const all = (prefix: string): string => others.map((column) => `${prefix}.${column}`).join(', ')
  await transaction.query(
    `insert into ${table} as present (${columns.join(', ')})
     values (${columns.map((column, at) => placeholder(at + 1, fields[column])).join(', ')})
     on conflict (${keys.join(', ')}) do update
        set ${others.map((column) => `${column} = excluded.${column}`).join(', ')}, updated_at = now()
      where (${all('present')}) is distinct from (${all('excluded')})`,
    columns.map((column) => stored(row[column], fields[column])),
  )
  const [found] = await transaction.query<{ id: string }>(
    `select id from ${table} where ${keys.map((column, at) => `${column} = $${at + 1}`).join(' and ')}`,
    keys.map((column) => row[column]),
  )
  return found!.id
}
