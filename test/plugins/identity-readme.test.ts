import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parse } from 'smol-toml'
import type { JsonObject } from '../../core/contract/plugin.ts'
import { openDatabase } from '../../core/services/database/index.ts'
import { preparedDataDirectory } from '../prepared-database.ts'
import { identityGateway } from './identity-gateway.ts'
import type { IdentityGateway } from './identity-gateway.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const readme = readFileSync(join(import.meta.dirname, '../../plugins/identity/README.md'), 'utf8')

function example(language: string): string {
  const [, text] = new RegExp(`\n\`\`\`${language}\n([^]+?)\n\`\`\``).exec(readme) ?? []
  assert.ok(text)
  return text
}

async function withGateway(options: JsonObject, check: (gateway: IdentityGateway) => Promise<void>): Promise<void> {
  const database = await openDatabase({ dataDirectory: await preparedDataDirectory(), logger })
  try {
    await using gateway = await identityGateway(database, options)
    await check(gateway)
  } finally {
    await database.close()
  }
}

const owners = ({ identity }: IdentityGateway, external: string): string[] =>
  identity.chain('user', identity.find('user', external)!)!.map(({ kind, name }) => `${kind} ${name}`)

test('identity: the example of a config file declares what it says', async () => {
  const { plugins } = parse(example('toml')) as { plugins: { identity: JsonObject } }
  await withGateway(plugins.identity, async (gateway) => {
    assert.deepEqual(owners(gateway, 'alice@example.com'), [
      'user alice@example.com',
      'team research',
      'organization Acme',
    ])
    const acme = await gateway.call('GET', '/organizations/acme', 200)
    assert.deepEqual(acme['budgets'], [{ period: 'monthly', limit_usd: 500, warn_at: 0.8 }])
    const { team_id: teamId } = await gateway.call('GET', '/organizations/acme/projects/search', 200)
    assert.equal((await gateway.call('GET', '/organizations/acme/teams/research', 200))['id'], teamId)
    await gateway.call('GET', '/organizations/acme/service-accounts/ci', 200)
  })
})

test('identity: the example with curl works as it stands', async () => {
  await withGateway({}, async (gateway) => {
    const script = example('sh').replaceAll('http://127.0.0.1:8080', gateway.url)
    const lines = script.split('\n')
    const leave = lines.pop()
    const run = async (text: string): Promise<string> =>
      (await promisify(execFile)('/bin/sh', ['-euc', text], { env: { ...process.env, HADRIAN_API_KEY: 'admin' } }))
        .stdout
    const output = await run(lines.join('\n'))
    assert.ok(!output.includes('"error"'), output)
    assert.deepEqual(owners(gateway, 'alice@example.com'), [
      'user alice@example.com',
      'team research',
      'organization Acme',
    ])
    const [, , organization] = gateway.identity.chain('user', gateway.identity.find('user', 'alice@example.com')!)!
    assert.deepEqual(organization?.rateLimits, { concurrentRequests: 20 })
    const { data } = JSON.parse(output.slice(output.lastIndexOf('{"data"'))) as { data: JsonObject[] }
    assert.deepEqual(
      data.map(({ slug }) => slug),
      ['search'],
    )
    const user = gateway.identity.find('user', 'alice@example.com')!
    await run(
      [
        ...lines.slice(
          0,
          lines.findIndex((line) => line.startsWith('id()')),
        ),
        `user=${user}`,
        leave,
      ].join('\n'),
    )
    assert.deepEqual(owners(gateway, 'alice@example.com'), ['user alice@example.com'])
  })
})
