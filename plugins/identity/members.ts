import { gatewayError, invalidRequest, isUuid, jsonReply, pageBody, readPage } from '@hadrian/core/plugin'
import type { Database, GatewayError, Queryable, Route, Row } from '@hadrian/core/plugin'
import { oneOf, readFields, reference } from './fields.ts'
import type { Fields } from './fields.ts'
import type { OwnerKey } from './owner-index.ts'
import { ResourceTable, unknown } from './resource-table.ts'
import type { PathParams } from './resource-table.ts'
import { team } from './resources.ts'

/** What a member of a team may be. Nothing in the gateway depends on it yet but what is shown. */
export const memberRoles = ['member', 'admin'] as const

/** Each team of a user has limits that its calls are checked against. */
const mostTeams = 100

interface MemberRow extends Row {
  readonly user_id: string
  readonly created_at: Date
}

const fields: Fields = {
  user_id: { ...reference, required: true, fixed: true },
  role: { ...oneOf(memberRoles), required: true },
}
const columns = 'u.id as user_id, u.external_id, u.email, u.name, m.role, m.created_at'
const membersAndUsers = 'identity_team_members m join identity_users u on u.id = m.user_id'

/**
 * The admin API of the members of teams.
 *
 * @param follow resolves when the gateway has seen a change
 */
export function memberRoutes(database: Database, follow: (owner: OwnerKey) => Promise<void>): Route[] {
  const teams = new ResourceTable(database, team)
  const teamOf = async (params: PathParams): Promise<string> => (await teams.read(params)).id
  const path = `${team.path}/:team/members`
  const one = `${path}/:user`
  return [
    {
      method: 'POST',
      path,
      scope: 'admin',
      summary: 'Make a user a member of a team',
      async handle(call) {
        const values = readFields(fields, { role: 'member', ...(await call.body()) }, 'create')
        const teamId = await teamOf(call.params)
        const member = await database.tx((transaction) => join(transaction, teamId, values))
        await follow({ kind: 'user', id: member.user_id })
        return jsonReply(member, { status: 201 })
      },
    },
    {
      method: 'GET',
      path,
      scope: 'admin',
      summary: 'List the members of a team, the newest first',
      async handle({ params, query }) {
        const page = readPage(query)
        const { cursor, compare, order, fetch } = page
        const rows = await database.query<MemberRow>(
          `select ${columns} from ${membersAndUsers}
            where m.team_id = $1 ${cursor ? `and (m.created_at, m.user_id) ${compare} ($3, $4)` : ''}
            order by m.created_at ${order}, m.user_id ${order} limit $2`,
          [await teamOf(params), fetch, ...(cursor ? [cursor.time, cursor.id] : [])],
        )
        return jsonReply(
          pageBody(
            page,
            rows,
            ({ created_at: time, user_id: id }) => ({ time, id }),
            (row) => row,
          ),
        )
      },
    },
    {
      method: 'GET',
      path: one,
      scope: 'admin',
      summary: 'Show a member of a team',
      handle: async ({ params }) => jsonReply(await read(database, await teamOf(params), params)),
    },
    {
      method: 'PATCH',
      path: one,
      scope: 'admin',
      summary: 'Change the role of a member of a team',
      async handle(call) {
        const { role } = readFields(fields, await call.body(), 'change')
        const teamId = await teamOf(call.params)
        const member = await read(database, teamId, call.params)
        if (role === undefined) return jsonReply(member)
        await database.query('update identity_team_members set role = $3 where team_id = $1 and user_id = $2', [
          teamId,
          member.user_id,
          role,
        ])
        return jsonReply(await read(database, teamId, call.params))
      },
    },
    {
      method: 'DELETE',
      path: one,
      scope: 'admin',
      summary: 'Remove a user from a team',
      async handle({ params }) {
        const teamId = await teamOf(params)
        const member = await read(database, teamId, params)
        const [removed] = await database.query(
          'delete from identity_team_members where team_id = $1 and user_id = $2 returning user_id',
          [teamId, member.user_id],
        )
        if (!removed) throw unknownMember()
        await follow({ kind: 'user', id: member.user_id })
        return jsonReply(member)
      },
    },
  ]
}

async function join(transaction: Queryable, teamId: string, values: Row): Promise<MemberRow> {
  const { user_id: userId, role } = values
  const [joined] = await transaction.query('select 1 from identity_teams where id = $1 for key share', [teamId])
  if (!joined) throw unknown('team', 'slug')
  // Locked, so that those who join several teams at once are counted one after the other.
  const [user] = await transaction.query('select 1 from identity_users where id = $1 for no key update', [userId])
  if (!user) throw invalidRequest([{ path: 'user_id', message: 'is not the id of a user' }])
  const teams = await transaction.query<{ team_id: string }>(
    'select team_id from identity_team_members where user_id = $1',
    [userId],
  )
  if (teams.some(({ team_id: id }) => id === teamId)) throw gatewayError('conflict', 'The user is a member already')
  if (teams.length >= mostTeams)
    throw gatewayError('conflict', `The user is a member of ${mostTeams} teams already, which is the most there can be`)
  await transaction.query('insert into identity_team_members (team_id, user_id, role) values ($1, $2, $3)', [
    teamId,
    userId,
    role,
  ])
  return read(transaction, teamId, { user: String(userId) })
}

async function read(queryable: Queryable, teamId: string, { user = '' }: PathParams): Promise<MemberRow> {
  const [row] = isUuid(user)
    ? await queryable.query<MemberRow>(
        `select ${columns} from ${membersAndUsers} where m.team_id = $1 and m.user_id = $2`,
        [teamId, user],
      )
    : []
  if (!row) throw unknownMember()
  return row
}

function unknownMember(): GatewayError {
  return gatewayError('not_found', 'This user is no member of this team')
}
