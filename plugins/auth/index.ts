import { definePlugin, gatewayError } from '@hadrian/core/plugin'
import { presentedKey } from './credentials.ts'
import { bootstrapKey } from './first-key.ts'
import { KeyCache } from './key-cache.ts'
import { hashOf, isKey } from './keys.ts'
import { KeyTable } from './key-table.ts'
import { LastUse } from './last-use.ts'
import { keyRoutes } from './routes.ts'

export type { BootstrapKey } from './first-key.ts'

export default definePlugin({
  name: 'auth',
  api: 1,
  description: 'API keys: who is calling.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      refresh_interval_ms: {
        type: 'integer',
        minimum: 1000,
        default: 300_000,
        description:
          'How often all keys are read again, as a safety net: changes are told by the database and take effect at once.',
      },
    },
  },
  provides: ['bootstrap-key'],
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, clock, logger }) {
    const table = new KeyTable(db)
    const cache = new KeyCache({ table, database: db, clock, logger, refreshIntervalMs: options.refresh_interval_ms })
    const lastUse = new LastUse(table, clock, logger)
    return {
      authenticate(call) {
        const key = presentedKey(call.headers)
        if (key === undefined) return
        const known = isKey(key) ? cache.find(hashOf(key)) : undefined
        if (!known)
          throw gatewayError('invalid_api_key', 'Invalid API key provided', {
            headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
          })
        lastUse.note(known.principal.id)
        call.identify(known.principal)
      },
      routes: keyRoutes(table, cache, clock),
      services: { 'bootstrap-key': bootstrapKey(table, cache, clock) },
      start: () => cache.start(),
      async stop() {
        await cache.stop()
        await lastUse.stop()
      },
    }
  },
})
