/** Plugin packages made for measuring: each does a little real work in two hooks. */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const source = (name: string): string => `import { definePlugin, stateKey } from '@hadrian/core/plugin'

const seen = stateKey('${name}')

export default definePlugin({
  name: '${name}',
  api: 1,
  options: { type: 'object', properties: {}, additionalProperties: false },
  setup() {
    const byStatus = new Map()
    return {
      authorize(exchange) {
        const { principal, request } = exchange
        if (principal.name !== 'nobody') exchange.set(seen, principal.id + ' ' + request.model)
      },
      settle(exchange, outcome) {
        if (exchange.get(seen)) byStatus.set(outcome.status, (byStatus.get(outcome.status) ?? 0) + 1)
      },
    }
  },
})
`

/** Writes so many packages into a directory. Returns the lines of config that switch them on. */
export async function writeSmallPlugins(directory: string, count: number): Promise<string> {
  const names = Array.from({ length: count }, (_, index) => `small-${index + 1}`)
  for (const name of names) {
    const at = join(directory, name)
    await mkdir(at, { recursive: true })
    const manifest = { name, version: '1.0.0', type: 'module', exports: './index.js' }
    await writeFile(
      join(at, 'package.json'),
      JSON.stringify({ ...manifest, hadrian: { kind: 'plugin', name, api: 1 } }),
    )
    await writeFile(join(at, 'index.js'), source(name))
  }
  const paths = JSON.stringify(names.map((name) => join(directory, name)))
  return `[packages]\npaths = ${paths}\n\n${names.map((name) => `[plugins.${name}]\n`).join('')}`
}
