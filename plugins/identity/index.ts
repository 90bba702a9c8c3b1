import { definePlugin } from '@hadrian/core/plugin'
import { declaration, readDeclaration } from './declaration.ts'
import { writeDeclared } from './declared-owners.ts'
import { memberRoutes } from './members.ts'
import { OwnerCache } from './owner-cache.ts'
import { resources } from './resources.ts'
import { resourceRoutes } from './routes.ts'

export default definePlugin({
  name: 'identity',
  api: 1,
  description: 'Organizations, teams, projects, users and service accounts, and their limits.',
  options: {
    type: 'object',
    additionalProperties: false,
    properties: {
      ...declaration,
      refresh_interval_ms: {
        type: 'integer',
        minimum: 1000,
        default: 300_000,
        description:
          'How often all owners are read again, as a safety net: changes are told by the database and take effect at once.',
      },
    },
  },
  provides: ['identity'],
  migrations: new URL('./migrations/', import.meta.url),

  setup({ options, db, clock, logger }) {
    const declared = readDeclaration(options)
    const cache = new OwnerCache({ database: db, clock, logger, refreshIntervalMs: options.refresh_interval_ms })
    const follow = cache.follow.bind(cache)
    return {
      services: { identity: cache },
      routes: [...resources.flatMap((resource) => resourceRoutes(db, resource, follow)), ...memberRoutes(db, follow)],
      async start() {
        await writeDeclared(db, declared)
        await cache.start()
      },
      stop: () => cache.stop(),
    }
  },
})
