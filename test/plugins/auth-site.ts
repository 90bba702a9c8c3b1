/** The plugin of API keys on a database, driven as callers and administrators would. */
import assert from 'node:assert/strict'
import type { GatewayError, JsonObject, Principal } from '../../core/contract/plugin.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import type { OpenedDatabase } from '../../core/services/database/index.ts'
import auth from '../../plugins/auth/index.ts'
import { KnownOwners } from './known-owners.ts'
import { inboundCall, pluginInstance } from './plugin-instance.ts'
import type { PluginInstance } from './plugin-instance.ts'

export const keysPath = '/admin/v1/api-keys'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A key as the admin API shows it. */
export type ShownKey = JsonObject & { readonly id: string; readonly key: string }

/** One instance of the plugin. */
export class AuthSite {
  readonly instance: PluginInstance
  readonly owners: KnownOwners

  constructor(instance: PluginInstance, owners: KnownOwners) {
    this.instance = instance
    this.owners = owners
  }

  async create(body: JsonObject = {}, principal?: Principal): Promise<ShownKey> {
    return (await this.call('POST', '', '', body, principal)) as ShownKey
  }

  async rotate(id: string, body: JsonObject = {}, principal?: Principal): Promise<ShownKey> {
    return (await this.call('POST', '/:id/rotate', id, body, principal)) as ShownKey
  }

  change(id: string, body: JsonObject, principal?: Principal): Promise<JsonObject> {
    return this.call('PATCH', '/:id', id, body, principal)
  }

  show(id: string): Promise<JsonObject> {
    return this.call('GET', '/:id', id)
  }

  revoke(id: string): Promise<JsonObject> {
    return this.call('DELETE', '/:id', id)
  }

  async list(query: Readonly<Record<string, string>> = {}): Promise<readonly string[]> {
    const { body } = await this.instance.route('GET', keysPath, { query })
    return (body['data'] as readonly { readonly id: string }[]).map(({ id }) => id)
  }

  async call(method: string, path: string, id: string, body?: JsonObject, principal?: Principal): Promise<JsonObject> {
    const reply = await this.instance.route(method, keysPath + path, {
      params: { id },
      ...(body && { body }),
      ...(principal && { principal }),
    })
    return reply.body
  }

  /** Who comes in with this key, from this address. */
  principal(key: string, ip?: string): Principal | undefined {
    const call = inboundCall({ authorization: `Bearer ${key}` }, ip)
    assert.equal(this.instance.hooks.authenticate?.(call), undefined, 'it neither waits nor answers')
    return call.principal
  }

  /** Why nobody comes in with this key. */
  refusal(key: string, ip?: string): GatewayError {
    try {
      this.principal(key, ip)
    } catch (error) {
      return error as GatewayError
    }
    assert.fail('it was let through')
  }
}

/** Sites that end together with the test file. */
export class AuthSites {
  readonly #sites: AuthSite[] = []
  readonly #databases: OpenedDatabase[] = []

  async open(where: Parameters<typeof openDatabase>[0] | { readonly url: string }): Promise<OpenedDatabase> {
    const database = await openDatabase({ dataDirectory: '', logger, ...where })
    this.#databases.push(database)
    return database
  }

  async start(database: OpenedDatabase, options: JsonObject = {}, owners = new KnownOwners()): Promise<AuthSite> {
    const instance = await pluginInstance(auth, database, options, { identity: owners })
    const site = new AuthSite(instance, owners)
    this.#sites.push(site)
    await instance.hooks.start?.()
    return site
  }

  async stop(): Promise<void> {
    for (const { instance } of this.#sites) await instance.hooks.stop?.()
    for (const database of this.#databases) await database.close()
  }
}

/** What a route refuses with. */
export async function refused(answer: Promise<unknown>): Promise<GatewayError> {
  return answer.then(
    () => assert.fail('it was not refused'),
    (error: unknown) => error as GatewayError,
  )
}

/** The mistakes that a refusal lists, as `path message`. */
export function mistakesOf({ details }: GatewayError): readonly string[] {
  return (details!['errors'] as readonly { path: string; message: string }[]).map(
    ({ path, message }) => `${path} ${message}`,
  )
}
