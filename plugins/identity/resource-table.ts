import { gatewayError, invalidRequest, isUuid } from '@hadrian/core/plugin'
import type { Database, GatewayError, Page, Queryable, RequestMistake, Row } from '@hadrian/core/plugin'
import { isSlug, placeholder, stored } from './fields.ts'
import type { Resource } from './resources.ts'

/** A row as the admin API shows it. */
export interface ResourceRow extends Row {
  readonly id: string
  readonly managed_by: 'api' | 'config'
  readonly created_at: Date
}

/** What stands in a path: the value of each parameter, decoded. */
export type PathParams = Readonly<Record<string, string>>

/** The rows of one kind of resource. Nothing here is called on the path of a model call. */
export class ResourceTable {
  readonly #database: Database
  readonly #resource: Resource
  /** The list belongs to an organization. */
  readonly #nested: boolean
  readonly #columns: string

  constructor(database: Database, resource: Resource) {
    this.#database = database
    this.#resource = resource
    this.#nested = resource.path.includes('/:organization/')
    this.#columns = [
      'id',
      ...(this.#nested ? ['organization_id'] : []),
      ...Object.keys(resource.fields),
      'managed_by',
      'created_at',
      'updated_at',
    ].join(', ')
  }

  /** @throws GatewayError `not_found` (the organization), `invalid_request_error` (a reference), `conflict` */
  create(params: PathParams, values: Readonly<Row>): Promise<ResourceRow> {
    const { table, noun, fields } = this.#resource
    return this.#database.tx(async (transaction) => {
      const organizationId = await this.#organization(transaction, params, 'for key share')
      await this.#checkReferences(transaction, values, organizationId)
      const row = { ...(organizationId !== undefined && { organization_id: organizationId }), ...values }
      const [created] = await transaction.query<ResourceRow>(
        `insert into ${table} (${Object.keys(row).join(', ')})
         values (${Object.keys(row)
           .map((column, at) => placeholder(at + 1, fields[column]))
           .join(', ')})
         on conflict do nothing returning ${this.#columns}`,
        Object.entries(row).map(([column, value]) => stored(value, fields[column])),
      )
      if (created) return created
      const taken = 'slug' in fields ? 'slug' : 'external_id'
      throw gatewayError('conflict', `Another ${noun} has this ${taken} already`, { param: taken })
    })
  }

  /** @throws GatewayError `not_found` (the organization) */
  async list(params: PathParams, { cursor, compare, order, fetch }: Page): Promise<ResourceRow[]> {
    const organizationId = await this.#organization(this.#database, params)
    const values: unknown[] = [fetch]
    const place = (value: unknown): string => `$${values.push(value)}`
    const conditions = [
      ...(organizationId === undefined ? [] : [`organization_id = ${place(organizationId)}`]),
      ...(cursor ? [`(created_at, id) ${compare} (${place(cursor.time)}, ${place(cursor.id)})`] : []),
    ]
    return this.#database.query<ResourceRow>(
      `select ${this.#columns} from ${this.#resource.table}
        ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
        order by created_at ${order}, id ${order} limit $1`,
      values,
    )
  }

  /** @throws GatewayError `not_found` */
  async read(params: PathParams): Promise<ResourceRow> {
    return this.#find(this.#database, params, await this.#organization(this.#database, params))
  }

  /** @throws GatewayError `not_found`, `conflict` (it belongs to the config file), `invalid_request_error` (a reference) */
  change(params: PathParams, values: Readonly<Row>): Promise<ResourceRow> {
    const { table, fields } = this.#resource
    return this.#database.tx(async (transaction) => {
      const organizationId = await this.#organization(transaction, params, 'for key share')
      const before = await this.#findToChange(transaction, params, organizationId)
      const columns = Object.keys(values)
      if (columns.length === 0) return before
      await this.#checkReferences(transaction, values, organizationId)
      const assignments = columns.map((column, at) => `${column} = ${placeholder(at + 2, fields[column])}`)
      const [changed] = await transaction.query<ResourceRow>(
        `update ${table} set ${assignments.join(', ')}, updated_at = now() where id = $1 returning ${this.#columns}`,
        [before.id, ...columns.map((column) => stored(values[column], fields[column]))],
      )
      return changed!
    })
  }

  /** @throws GatewayError `not_found`, `conflict` (it belongs to the config file, or something belongs to it) */
  remove(params: PathParams): Promise<ResourceRow> {
    const { table, noun, children } = this.#resource
    return this.#database.tx(async (transaction) => {
      const organizationId = await this.#organization(transaction, params, 'for key share')
      const row = await this.#findToChange(transaction, params, organizationId)
      const left: [string, number][] = []
      for (const child of children) {
        const [counted] = await transaction.query<{ count: number }>(
          `select count(*)::int as count from ${child.table} where ${child.column} = $1`,
          [row.id],
        )
        if (counted!.count > 0) left.push([child.noun, counted!.count])
      }
      const shown = left.map(([what, count]) => `${count} ${what}${count === 1 ? '' : 's'}`)
      if (left.length > 0)
        throw gatewayError('conflict', `This ${noun} still has ${shown.join(', ')}; delete or move them first`, {
          details: {
            in_the_way: Object.fromEntries(left.map(([what, count]) => [`${what.replace(' ', '_')}s`, count])),
          },
        })
      await transaction.query(`delete from ${table} where id = $1`, [row.id])
      return row
    })
  }

  /** The organization of the path; undefined for a path without. Locked, it stays until the end of the transaction. */
  async #organization(
    queryable: Queryable,
    { organization = '' }: PathParams,
    locked = '',
  ): Promise<string | undefined> {
    if (!this.#nested) return undefined
    const [found] = isSlug(organization)
      ? await queryable.query<{ id: string }>(`select id from identity_organizations where slug = $1 ${locked}`, [
          organization,
        ])
      : []
    if (!found) throw unknown('organization', 'slug')
    return found.id
  }

  async #find(
    queryable: Queryable,
    params: PathParams,
    organizationId: string | undefined,
    locked = '',
  ): Promise<ResourceRow> {
    const { table, noun, key } = this.#resource
    const value = params[key.param] ?? ''
    const possible = key.column === 'slug' ? isSlug(value) : isUuid(value)
    const [row] = possible
      ? await queryable.query<ResourceRow>(
          `select ${this.#columns} from ${table}
            where ${key.column} = $1 ${this.#nested ? 'and organization_id = $2' : ''} ${locked}`,
          this.#nested ? [value, organizationId] : [value],
        )
      : []
    if (!row) throw unknown(noun, key.column)
    return row
  }

  async #findToChange(
    transaction: Queryable,
    params: PathParams,
    organizationId: string | undefined,
  ): Promise<ResourceRow> {
    const row = await this.#find(transaction, params, organizationId, 'for update')
    if (row.managed_by === 'config')
      throw gatewayError('conflict', `This ${this.#resource.noun} is declared in the config file; change it there`, {
        details: { managed_by: 'config' },
      })
    return row
  }

  async #checkReferences(
    transaction: Queryable,
    values: Readonly<Row>,
    organizationId: string | undefined,
  ): Promise<void> {
    const mistakes: RequestMistake[] = []
    for (const { field, noun, table, within } of this.#resource.references) {
      const id = values[field]
      if (id === undefined || id === null) continue
      const [found] = await transaction.query(
        `select 1 from ${table} where id = $1 ${within ? 'and organization_id = $2' : ''} for key share`,
        within ? [id, organizationId] : [id],
      )
      if (!found) mistakes.push({ path: field, message: `is not the id of ${noun}` })
    }
    if (mistakes.length > 0) throw invalidRequest(mistakes)
  }
}

/** Does not repeat what was looked for: it may be anything. */
export function unknown(noun: string, column: string): GatewayError {
  return gatewayError('not_found', `There is no ${noun} with this ${column}`)
}
