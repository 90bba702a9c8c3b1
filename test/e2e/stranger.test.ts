import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import OpenAI, { APIError } from 'openai'
import { defaultPlugins } from '../../core/boot/selection.ts'
import { runCommand, startCommand } from '../core/cli-process.ts'
import type { Finished, Running } from '../core/cli-process.ts'
import { installPackages } from './installation.ts'
import type { Installation } from './installation.ts'

const config = `
[server]
port = 0

[providers.shout]
mark = "!!!"

[providers.test]

[providers.openai]
api_key = "never-sent"

[plugins.max-words]
limit = 3
`

const greeting = 'good day'
const tooLong = 'far too many words'

describe('packages installed from tarballs', { timeout: 110_000 }, () => {
  let installation: Installation

  before(async () => {
    installation = await installPackages()
    writeFileSync(join(installation.directory, 'hadrian.toml'), config)
  })
  after(() => installation?.[Symbol.dispose]())

  const hadrian = (context: TestContext, words: readonly string[]): Promise<Finished> =>
    runCommand(context, words, { directory: installation.directory, launcher: installation.launcher })

  test('what is published is JavaScript, its types, and the files it reads', () => {
    const modules = join(installation.directory, 'node_modules')
    const manifest = JSON.parse(readFileSync(join(installation.directory, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    const names = Object.keys(manifest.dependencies)
    assert.ok(names.length >= 16, names.join())
    for (const plugin of defaultPlugins) assert.ok(names.includes(`@hadrian/plugin-${plugin}`), plugin)
    for (const name of names) {
      const files = filesOf(join(modules, name))
      assert.deepEqual(
        files.filter((file) => (file.endsWith('.ts') && !file.endsWith('.d.ts')) || file.endsWith('.tsbuildinfo')),
        [],
        name,
      )
      assert.ok(files.includes('dist/index.js') && files.includes('dist/index.d.ts'), name)
    }
  })

  test('hadrian plan and hadrian plugins show them', async (context) => {
    const plan = await hadrian(context, ['plan'])
    assert.equal(plan.code, 0, plan.stderr)
    assert.match(plan.stdout, /transform.*max-words/)
    const plugins = await hadrian(context, ['plugins'])
    assert.match(plugins.stdout, /max-words +plugin +on +1\.0\.0 +dependency: .*node_modules.hadrian-plugin-max-words/)
    assert.match(plugins.stdout, /shout +provider +on +1\.0\.0 +dependency: .*node_modules.hadrian-provider-shout/)
    for (const name of defaultPlugins)
      assert.match(plugins.stdout, new RegExp(`^${name} +plugin +on .* dependency: .*.plugin-${name} `, 'm'))
    const jwt = await hadrian(context, ['plugins', 'jwt'])
    assert.match(jwt.stdout, /^jwt \S+ \(plugin, dependency: .*.plugin-jwt\)$/m)
    assert.match(jwt.stdout, /issuer +string/)
    const options = await hadrian(context, ['plugins', 'max-words'])
    assert.match(options.stdout, /limit +integer +1000 +Words in all texts of a request\./)
  })

  describe('served', () => {
    let gateway: Running
    let client: OpenAI
    let kill: (() => void) | undefined
    after(() => kill?.())

    before(async () => {
      gateway = startCommand({ after: (stop) => (kill = stop) }, ['serve'], installation)
      const [, url] = await gateway.output(/listens on (http:\S+)/)
      const [, apiKey] = await gateway.output(/Bearer ([^"\s]+)"/)
      client = new OpenAI({ baseURL: `${url}/api/v1`, apiKey, maxRetries: 0 })
    })

    test('the provider answers chat', async () => {
      const messages = [{ role: 'user' as const, content: greeting }]
      const whole = await client.chat.completions.create({ model: 'shout/any', messages })
      assert.equal(whole.choices[0]?.message.content, 'GOOD DAY !!!')
      assert.equal(whole.usage?.total_tokens, 5)
      let streamed = ''
      for await (const chunk of await client.chat.completions.create({ model: 'shout/any', messages, stream: true }))
        streamed += chunk.choices[0]?.delta.content ?? ''
      assert.equal(streamed, 'GOOD DAY !!!')
    })

    test('the provider answers responses', async () => {
      const whole = await client.responses.create({ model: 'shout/any', input: greeting })
      assert.equal(whole.output_text, 'GOOD DAY !!!')
      let streamed = ''
      let last = ''
      for await (const event of await client.responses.create({ model: 'shout/any', input: greeting, stream: true })) {
        if (event.type === 'response.output_text.delta') streamed += event.delta
        last = event.type
      }
      assert.equal(streamed, 'GOOD DAY !!!')
      assert.equal(last, 'response.completed')
    })

    test('the plugin refuses on every endpoint, streamed or not', async () => {
      const messages = [{ role: 'user' as const, content: tooLong }]
      const calls = [
        ...[false, true].flatMap((stream) => [
          () => client.chat.completions.create({ model: 'shout/any', messages, stream }),
          () => client.responses.create({ model: 'shout/any', input: tooLong, stream }),
          () => client.completions.create({ model: 'test/echo', prompt: tooLong, stream }),
        ]),
        () => client.embeddings.create({ model: 'test/echo', input: tooLong }),
      ]
      for (const call of calls)
        await assert.rejects(call, (error) => {
          assert.ok(error instanceof APIError)
          assert.equal(error.status, 400)
          assert.equal(error.code, 'prompt_too_long')
          assert.match(error.message, /has 4 words; the limit is 3/)
          return true
        })
    })

    test('the built-in prices are there', async () => {
      const url = new URL('/admin/v1/model-pricing/effective?provider=openai&model=gpt-4o', client.baseURL)
      const response = await fetch(url, { headers: { authorization: `Bearer ${client.apiKey}` } })
      assert.equal(((await response.json()) as { source?: string }).source, 'built-in')
    })

    test('the documents of the API are there', async () => {
      const base = client.baseURL.replace(/\/v1$/, '')
      for (const path of ['/openapi.json', '/api/docs']) {
        const { status } = await fetch(new URL(path, base))
        assert.equal(status, 200, path)
      }
    })

    test('it stops when it is told to', async () => {
      gateway.child.kill('SIGTERM')
      const { code, stderr } = await gateway.finished
      assert.equal(code, 0, stderr)
    })
  })

  describe('mistakes', () => {
    /** Runs `hadrian check` on a package.json and files of its own, beside the installation. */
    const check = async (
      context: TestContext,
      name: string,
      setUp: (directory: string) => string,
    ): Promise<Finished> => {
      const directory = join(installation.directory, name)
      mkdirSync(directory)
      context.after(() => rmSync(directory, { recursive: true }))
      writeFileSync(join(directory, 'hadrian.toml'), setUp(directory))
      cpSync(join(installation.directory, 'package.json'), join(directory, 'package.json'))
      return runCommand(context, ['check'], { directory, launcher: installation.launcher })
    }

    test('a package that is a dependency and a path too', async (context) => {
      const { code, stderr } = await check(
        context,
        'twice',
        () => `${config}\n[packages]\npaths = ["../authors/hadrian-plugin-max-words"]\n`,
      )
      assert.equal(code, 1)
      assert.match(stderr, /two packages are called "max-words": .*node_modules.* and .*authors.*/)
    })

    test('a package written for another version of the contract', async (context) => {
      const { code, stderr } = await check(context, 'later', (directory) => {
        const copy = join(directory, 'later')
        cpSync(join(installation.authors, 'hadrian-plugin-max-words'), copy, { recursive: true })
        const manifest = JSON.parse(readFileSync(join(copy, 'package.json'), 'utf8')) as object
        const hadrian = { kind: 'plugin', name: 'later', api: 2 }
        writeFileSync(join(copy, 'package.json'), JSON.stringify({ ...manifest, hadrian }))
        return `${config}\n[plugins.later]\n[packages]\npaths = ["later"]\n`
      })
      assert.equal(code, 1)
      assert.match(stderr, /plugins\.later: .* is written for version 2 .*; this gateway has version 1/)
      assert.match(stderr, /Update the gateway/)
    })

    test('a package that ships TypeScript', async (context) => {
      const { code, stderr } = await check(context, 'typed', (directory) => {
        const copy = join(directory, 'node_modules', 'hadrian-plugin-typed')
        cpSync(join(installation.authors, 'hadrian-plugin-max-words'), copy, { recursive: true })
        const manifest = JSON.parse(readFileSync(join(copy, 'package.json'), 'utf8')) as object
        const hadrian = { kind: 'plugin', name: 'typed', api: 1 }
        writeFileSync(join(copy, 'package.json'), JSON.stringify({ ...manifest, exports: './index.ts', hadrian }))
        return `${config}\n[plugins.typed]\n[packages]\npaths = ["node_modules/hadrian-plugin-typed"]\n`
      })
      assert.equal(code, 1)
      assert.match(stderr, /plugins\.typed: .*index\.ts/)
      assert.match(stderr, /must ship JavaScript/)
    })
  })
})

function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((file) => !file.startsWith('node_modules/'))
}
