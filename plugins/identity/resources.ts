import type { OwnerKind } from '@hadrian/core/plugin'
import { limits, reference, slug, text } from './fields.ts'
import type { Fields } from './fields.ts'

/** A kind of owner as the admin API knows it. */
export interface Resource {
  readonly kind: OwnerKind
  /** For people: `service account`. */
  readonly noun: string
  readonly table: string
  /** Of the list. `:organization` is the slug of the organization that all of the list belong to. */
  readonly path: string
  /** What stands behind `path` for one of them: the column that it is found by, and the name of the parameter. */
  readonly key: { readonly column: 'slug' | 'id'; readonly param: string }
  readonly fields: Fields
  /** Which fields are the id of something else; `within`: of the same organization. */
  readonly references: readonly {
    readonly field: string
    readonly noun: string
    readonly table: string
    readonly within: boolean
  }[]
  /** What must be gone before one of these can be deleted. */
  readonly children: readonly { readonly noun: string; readonly table: string; readonly column: string }[]
}

const organizations = '/admin/v1/organizations'

export const organization: Resource = {
  kind: 'organization',
  noun: 'organization',
  table: 'identity_organizations',
  path: organizations,
  key: { column: 'slug', param: 'organization' },
  fields: { slug, name: text(), ...limits },
  references: [],
  children: [
    { noun: 'team', table: 'identity_teams', column: 'organization_id' },
    { noun: 'project', table: 'identity_projects', column: 'organization_id' },
    { noun: 'user', table: 'identity_users', column: 'organization_id' },
    { noun: 'service account', table: 'identity_service_accounts', column: 'organization_id' },
  ],
}

export const team: Resource = {
  kind: 'team',
  noun: 'team',
  table: 'identity_teams',
  path: `${organizations}/:organization/teams`,
  key: { column: 'slug', param: 'team' },
  fields: { slug, name: text(), ...limits },
  references: [],
  children: [{ noun: 'project', table: 'identity_projects', column: 'team_id' }],
}

const project: Resource = {
  kind: 'project',
  noun: 'project',
  table: 'identity_projects',
  path: `${organizations}/:organization/projects`,
  key: { column: 'slug', param: 'project' },
  fields: { slug, name: text(), team_id: reference, ...limits },
  references: [{ field: 'team_id', noun: 'a team of this organization', table: 'identity_teams', within: true }],
  children: [],
}

const user: Resource = {
  kind: 'user',
  noun: 'user',
  table: 'identity_users',
  path: '/admin/v1/users',
  key: { column: 'id', param: 'user' },
  fields: {
    external_id: { ...text(), required: true, fixed: true },
    email: text(),
    name: text(),
    organization_id: reference,
    ...limits,
  },
  references: [{ field: 'organization_id', noun: 'an organization', table: 'identity_organizations', within: false }],
  children: [],
}

const serviceAccount: Resource = {
  kind: 'service_account',
  noun: 'service account',
  table: 'identity_service_accounts',
  path: `${organizations}/:organization/service-accounts`,
  key: { column: 'slug', param: 'account' },
  fields: { slug, name: text(), description: text(1000), ...limits },
  references: [],
  children: [],
}

/** All of them. */
export const resources: readonly Resource[] = [organization, team, project, user, serviceAccount]

/** The one of a kind. */
export function resourceOf(kind: OwnerKind): Resource {
  return resources.find((resource) => resource.kind === kind)!
}
