import auth from '@hadrian/plugin-auth'
import blocklist from '@hadrian/plugin-blocklist'
import identity from '@hadrian/plugin-identity'
import jwt from '@hadrian/plugin-jwt'
import responseHealing from '@hadrian/plugin-response-healing'
import router from '@hadrian/plugin-router'
import usageLog from '@hadrian/plugin-usage-log'
import { pluginSuite } from '@hadrian/core/testing'
import type { PluginSuiteOptions } from '@hadrian/core/testing'
import { openDatabase } from '../../core/services/database/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

const database: NonNullable<PluginSuiteOptions['database']> = async () =>
  openDatabase({ dataDirectory: await preparedDataDirectory(), logger: silent })

pluginSuite(auth, { database, plugins: [identity] })
pluginSuite(blocklist, { options: { words: ['falcon'], action: 'redact' } })
pluginSuite(identity, { database })
pluginSuite(jwt, {
  options: { issuer: 'suite', audience: 'suite', secret: 'a secret of more than thirty-two characters' },
  plugins: [identity],
  database,
})
pluginSuite(responseHealing)
pluginSuite(router, { options: { prefer: ['fake'] } })
pluginSuite(usageLog, { database })
