import { definePlugin, gatewayError } from '@hadrian/core/plugin'
import type { Identity } from '@hadrian/core/plugin'
import { presentedKey } from './credentials.ts'
import { readDeclaredKeys } from './declared-keys.ts'
import type { DeclaredKey } from './declared-keys.ts'
import { bootstrapKey } from './first-key.ts'
import { KeyCache } from './key-cache.ts'
import { hashOf, isKey, keyFamily } from './keys.ts'
import { KeyTable } from './key-table.ts'
import { LastUse } from './last-use.ts'
import { options as optionsSchema } from './options.ts'
import { keyRoutes } from './routes.ts'
import { ownKeyRoute } from './own-key-route.ts'

export type { BootstrapKey } from './first-key.ts'

export default definePlugin({
  name: 'auth',
  api: 1,
  description: 'API keys: who is calling.',
  options: optionsSchema,
  order: { after: ['identity'] },
  requires: ['identity'],
  provides: ['bootstrap-key'],
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, clock, logger, identity: service }) {
    const identity = service as Identity
    const declared = readDeclaredKeys(options.bootstrap_key, options.keys as Readonly<Record<string, DeclaredKey>>)
    const table = new KeyTable(db)
    const cache = new KeyCache({ table, database: db, clock, logger, refreshIntervalMs: options.refresh_interval_ms })
    const lastUse = new LastUse(table, clock, logger)
    const isOurs = (token: string): boolean => token.startsWith(keyFamily) || declared.find(token) !== undefined
    return {
      authenticate(call) {
        const token = presentedKey(call.headers, isOurs)
        if (token === undefined) return
        const fromConfig = declared.find(token)
        const known = fromConfig ?? (isKey(token) ? cache.find(hashOf(token)) : undefined)
        const principal =
          known !== undefined && known.validUntilMs > clock.now() ? known.key.principal(identity) : undefined
        if (known === undefined || principal === undefined)
          throw gatewayError('invalid_api_key', 'Invalid API key provided', {
            headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
          })
        if (!known.key.mayComeFrom(call.ip))
          throw gatewayError('ip_not_allowed', 'This key may not be used from this address', {
            details: { ip: call.ip },
          })
        if (!fromConfig) lastUse.note(principal.id)
        call.identify(principal)
      },
      routes: [
        ...keyRoutes({ table, cache, clock, identity }),
        ownKeyRoute((id) => declared.byId(id) ?? cache.byId(id)),
      ],
      services: { 'bootstrap-key': bootstrapKey(table, cache, clock, declared.size === 0) },
      async start() {
        await cache.start()
        for (const key of declared.keys)
          if (!key.principal(identity))
            logger.warn({ key: key.id, owner: key.owner }, 'a key of the config is refused until its owner exists')
      },
      async stop() {
        await cache.stop()
        await lastUse.stop()
      },
    }
  },
})
