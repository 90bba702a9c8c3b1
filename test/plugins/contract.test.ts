/** The contract, for plugins whose own tests do not run the suite. */

import { pluginSuite } from '@hadrian/core/testing'
import blocklist from '@hadrian/plugin-blocklist'
import responseHealing from '@hadrian/plugin-response-healing'
import router from '@hadrian/plugin-router'
import { fixedHealth } from './fixed-health.ts'

pluginSuite(blocklist, { options: { words: ['falcon'], action: 'redact' } })
pluginSuite(responseHealing)
pluginSuite(router, { options: { prefer: ['fake'] }, plugins: [fixedHealth()] })
