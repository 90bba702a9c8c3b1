import blocklist from '@hadrian/plugin-blocklist'
import responseHealing from '@hadrian/plugin-response-healing'
import router from '@hadrian/plugin-router'
import { pluginSuite } from '@hadrian/core/testing'

pluginSuite(blocklist, { options: { words: ['falcon'], action: 'redact' } })
pluginSuite(responseHealing)
pluginSuite(router, { options: { prefer: ['fake'] } })
