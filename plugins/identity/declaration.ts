import { invalidRequest } from '@hadrian/core/plugin'
import type { JsonObject, ObjectSchema, OptionsOf, OwnerKind, RequestMistake } from '@hadrian/core/plugin'
import { slugPattern } from './fields.ts'
import { resourceOf } from './resources.ts'

const owner = {
  name: { type: 'string', description: 'Shown to people.' },
  budgets: {
    type: 'array',
    description: 'Money that may be spent, at most one entry per period.',
    items: {
      type: 'object',
      additionalProperties: false,
      required: ['period', 'limit_usd'],
      properties: {
        period: { enum: ['daily', 'weekly', 'monthly', 'total'] },
        limit_usd: { type: 'number', minimum: 0 },
        warn_at: { type: 'number', minimum: 0, maximum: 1 },
        overage_usd: { type: 'number', minimum: 0 },
      },
    },
  },
  rate_limits: {
    type: 'object',
    description: 'Traffic that is let through.',
    additionalProperties: false,
    properties: {
      requests_per_minute: { type: 'integer', minimum: 0 },
      requests_per_day: { type: 'integer', minimum: 0 },
      tokens_per_minute: { type: 'integer', minimum: 0 },
      tokens_per_day: { type: 'integer', minimum: 0 },
      concurrent_requests: { type: 'integer', minimum: 0 },
    },
  },
} as const

const slugs = {
  pattern: slugPattern,
  description:
    'A slug has 1 to 64 small letters, digits, dots, dashes and underscores, and begins with a letter or digit.',
}

/** The options that declare owners. */
export const declaration = {
  organizations: {
    type: 'object',
    default: {},
    description:
      'Organizations by slug, each with `name`, `budgets`, `rate_limits`, and `teams`, `projects` (with `team`) and `service_accounts` by slug.',
    propertyNames: slugs,
    additionalProperties: {
      type: 'object',
      additionalProperties: false,
      properties: {
        ...owner,
        teams: {
          type: 'object',
          propertyNames: slugs,
          additionalProperties: { type: 'object', additionalProperties: false, properties: owner },
        },
        projects: {
          type: 'object',
          propertyNames: slugs,
          additionalProperties: {
            type: 'object',
            additionalProperties: false,
            properties: { ...owner, team: { type: 'string', description: 'Slug of a team of the same organization.' } },
          },
        },
        service_accounts: {
          type: 'object',
          propertyNames: slugs,
          additionalProperties: {
            type: 'object',
            additionalProperties: false,
            properties: { ...owner, description: { type: 'string' } },
          },
        },
      },
    },
  },
  users: {
    type: 'object',
    default: {},
    description:
      'Users by external id, each with `name`, `email`, `budgets`, `rate_limits`, `organization`, and `teams`: roles (`member` or `admin`) by `organization/team`.',
    additionalProperties: {
      type: 'object',
      additionalProperties: false,
      properties: {
        ...owner,
        email: { type: 'string' },
        organization: { type: 'string', description: 'Slug of a declared organization.' },
        teams: { type: 'object', additionalProperties: { enum: ['member', 'admin'] } },
      },
    },
  },
} as const

const declarationSchema = { type: 'object', properties: declaration } as const satisfies ObjectSchema

/** What the config file declares. */
export type Declaration = OptionsOf<typeof declarationSchema>

/** One declared owner, ready for its table. */
export interface DeclaredOwner {
  readonly kind: OwnerKind
  /** Slug, or external id of a user. */
  readonly slug: string
  readonly organization: string | undefined
  /** The team of a project, the teams of a user with its role: `organization/team`. */
  readonly teams: Readonly<Record<string, string>>
  /** Every field that refers to nobody; null where it is not declared. */
  readonly values: Readonly<Record<string, unknown>>
}

/**
 * Lists what is declared, parents first.
 *
 * @throws GatewayError `invalid_request_error` with every mistake that the schema cannot see
 */
export function readDeclaration({ organizations, users }: Declaration): DeclaredOwner[] {
  const mistakes: RequestMistake[] = []
  const declared: DeclaredOwner[] = []
  const known = new Set<string>()
  const add = (
    kind: OwnerKind,
    slug: string,
    path: string,
    described: JsonObject,
    organization?: string,
    teams: Readonly<Record<string, string>> = {},
  ): void => {
    const { fields, references, key } = resourceOf(kind)
    const name = key.column === 'slug' ? 'slug' : 'external_id'
    const values: Record<string, unknown> = {}
    for (const [field, { read }] of Object.entries(fields)) {
      if (references.some((reference) => reference.field === field)) continue
      const value = field === name ? slug : described[field]
      values[field] =
        value === undefined
          ? null
          : read(value, field, (mistake) =>
              mistakes.push({ ...mistake, path: field === name ? path : `${path}.${mistake.path}` }),
            )
    }
    for (const [what, wanted] of [
      ['organization', organization === undefined ? [] : [organization]],
      ['team', Object.keys(teams)],
    ] as const)
      for (const missing of wanted.filter((each) => !known.has(`${what} ${each}`)))
        mistakes.push({ path, message: `names the ${what} ${JSON.stringify(missing)}, which is not declared` })
    declared.push({ kind, slug, organization, teams, values })
  }
  for (const [organization, described] of Object.entries(organizations)) {
    const path = `organizations.${organization}`
    add('organization', organization, path, described)
    known.add(`organization ${organization}`)
    for (const [slug, team] of Object.entries(described.teams ?? {})) {
      add('team', slug, `${path}.teams.${slug}`, team, organization)
      known.add(`team ${organization}/${slug}`)
    }
    for (const [slug, project] of Object.entries(described.projects ?? {})) {
      const teams = project.team === undefined ? {} : { [`${organization}/${project.team}`]: 'member' }
      add('project', slug, `${path}.projects.${slug}`, project, organization, teams)
    }
    for (const [slug, account] of Object.entries(described.service_accounts ?? {}))
      add('service_account', slug, `${path}.service_accounts.${slug}`, account, organization)
  }
  for (const [externalId, user] of Object.entries(users))
    add('user', externalId, `users.${JSON.stringify(externalId)}`, user, user.organization, user.teams)
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return declared
}
