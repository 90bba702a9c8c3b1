import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import { Ajv } from 'ajv'
import { parse } from 'smol-toml'
import { coreDirectory } from '../../core/boot/packages.ts'
import { directoryWith } from './boot-fixtures.ts'
import { runCommand } from './cli-process.ts'
import type { Finished } from './cli-process.ts'

const environment = { OPENAI_API_KEY: 'a-key' }

function hadrian(context: TestContext, directory: string, ...words: readonly string[]): Promise<Finished> {
  return runCommand(context, words, { directory, environment })
}

function textOf(...path: readonly string[]): string {
  return readFileSync(join(...path), 'utf8')
}

const modules = join(coreDirectory, '..', 'node_modules')

/** What `npm install` does with the dependencies of a new package, without a network. */
function install(home: string): void {
  mkdirSync(join(home, 'node_modules', '@hadrian'), { recursive: true })
  symlinkSync(coreDirectory, join(home, 'node_modules', '@hadrian', 'core'))
  for (const name of ['@types', 'typescript']) symlinkSync(join(modules, name), join(home, 'node_modules', name))
}

function runScript(home: string, script: string): void {
  const [command = '', ...words] = script.split(' ')
  assert.equal(command, 'tsc')
  const { status, stdout } = spawnSync(join(modules, '.bin', command), words, { cwd: home, encoding: 'utf8' })
  assert.equal(status, 0, stdout)
}

describe('hadrian init', { timeout: 60_000 }, () => {
  test('writes a config that starts, with its schema beside it', async (context) => {
    const directory = directoryWith(context, {})
    const written = await hadrian(context, directory, 'init')
    assert.equal(written.code, 0, written.stderr)
    assert.match(written.stdout, /Wrote \/.*hadrian\.toml and hadrian\.schema\.json/)
    const text = textOf(directory, 'hadrian.toml')
    assert.match(text, /^#:schema \.\/hadrian\.schema\.json\n/)
    assert.equal(JSON.stringify(parse(text)['providers']), '{"openai":{"api_key":"${OPENAI_API_KEY}"},"test":{}}')
    assert.ok(text.split('\n').every((line) => !line.startsWith('#') || /^# \w+ = /.test(line) || line.length <= 100))
    const checked = await hadrian(context, directory, 'check')
    assert.equal(checked.code, 0, checked.stderr)
    assert.match(checked.stdout, /Plugins: .*file-parser.* Providers: openai, test\./)
  })

  test('shows only defaults: with every one of them switched on, the config is the same', async (context) => {
    const directory = directoryWith(context, {})
    await hadrian(context, directory, 'init')
    const before = await hadrian(context, directory, 'config', '--json')
    let on = false
    const lines = textOf(directory, 'hadrian.toml')
      .split('\n')
      .map((line) => {
        if (/^(# )?\[/.test(line)) on = !line.startsWith('#')
        return on && /^# \w+ = /.test(line) && !line.slice(2).includes(' # ') ? line.slice(2) : line
      })
    writeFileSync(join(directory, 'hadrian.toml'), lines.join('\n'))
    assert.ok(Object.keys(parse(lines.join('\n'))['server'] as object).length > 5)
    const after = await hadrian(context, directory, 'config', '--json')
    assert.equal(after.code, 0, after.stderr)
    assert.deepEqual(JSON.parse(after.stdout), JSON.parse(before.stdout))
  })

  test('overwrites nothing unless told to', async (context) => {
    const directory = directoryWith(context, { 'hadrian.toml': '# mine\n' })
    const refused = await hadrian(context, directory, 'init')
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /hadrian\.toml: exists already\n +Give another name, or --force/)
    assert.equal(textOf(directory, 'hadrian.toml'), '# mine\n')
    assert.equal((await hadrian(context, directory, 'init', '--force')).code, 0)
    assert.match(textOf(directory, 'hadrian.toml'), /\[server\]/)
    const nowhere = await hadrian(context, directory, 'init', 'missing/hadrian.toml')
    assert.equal(nowhere.code, 1)
    assert.match(nowhere.stderr, /cannot be written/)
  })
})

describe('hadrian schema', { timeout: 60_000 }, () => {
  test('knows the options of everything installed, on or off', async (context) => {
    const directory = directoryWith(context, {})
    const printed = await hadrian(context, directory, 'schema')
    assert.equal(printed.code, 0, printed.stderr)
    const ajv = new Ajv({ strict: false, allErrors: true })
    const validate = ajv.compile(JSON.parse(printed.stdout) as object)
    const isFine = (toml: string): boolean => validate(parse(toml))
    assert.ok(isFine('[server]\nport = 1\n[plugins.blocklist]\nwords = ["a"]\n'), ajv.errorsText(validate.errors))
    assert.ok(isFine('[providers.openai]\napi_key = "x"\n[providers.mine]\ntype = "openai"\nbase_url = "http://a"\n'))
    for (const wrong of [
      '[server]\nprot = 1\n',
      '[plugins.blocklist]\nword = ["a"]\n',
      '[plugins.router]\nprefer = 1\n',
      '[providers.openai]\nkey = "x"\n',
      '[providers.mine]\ntype = "openai"\nkey = "x"\n',
      '[providers.mine]\ntype = "opnai"\n',
      '[providers.mine]\nbase_url = "http://a"\n',
    ])
      assert.ok(!isFine(wrong), wrong)
  })

  test('goes to a file, and sees packages of the directory', async (context) => {
    const directory = directoryWith(context, {})
    await hadrian(context, directory, 'new', 'plugin', 'max-words')
    const home = join(directory, 'hadrian-plugin-max-words')
    install(home)
    runScript(home, 'tsc -p . --noResolve --noCheck')
    writeFileSync(join(directory, 'hadrian.toml'), '[packages]\npaths = ["hadrian-plugin-max-words"]\n')
    const written = await hadrian(context, directory, 'schema', '--output', 'schema.json')
    assert.equal(written.code, 0, written.stderr)
    const { properties } = JSON.parse(textOf(directory, 'schema.json')) as {
      properties: { plugins: { properties: Record<string, { properties: Record<string, { default?: unknown }> }> } }
    }
    assert.equal(properties.plugins.properties['max-words']?.properties['limit']?.default, 1000)
  })
})

describe('hadrian new', { timeout: 120_000 }, () => {
  for (const kind of ['plugin', 'provider'] as const)
    test(`writes a ${kind} that passes its tests and runs`, async (context) => {
      const directory = directoryWith(context, {})
      const written = await hadrian(context, directory, 'new', kind, 'my-own')
      assert.equal(written.code, 0, written.stderr)
      const name = `hadrian-${kind}-my-own`
      assert.match(written.stdout, new RegExp(`cd ${name}\\n +npm install\\n +npm test`))
      const home = join(directory, name)
      const manifest = JSON.parse(textOf(home, 'package.json')) as {
        scripts: Record<string, string>
        devDependencies: Record<string, string>
      }
      assert.match(manifest.devDependencies['@hadrian/core']!, /^file:.*core$/)
      install(home)
      assert.equal(manifest.scripts['test'], 'hadrian --run index.test.ts')
      const tested = await runCommand(context, ['--run', 'index.test.ts'], { directory: home })
      assert.equal(tested.code, 0, tested.stdout)
      assert.match(tested.stdout, /pass \d\d/)
      runScript(home, manifest.scripts['types']!)
      runScript(home, manifest.scripts['build']!)
      const options = kind === 'provider' ? 'api_key = "x"\nbase_url = "http://127.0.0.1:1"\n' : ''
      const config = `[packages]\npaths = ["${name}"]\n[${kind}s.my-own]\n${options}`
      writeFileSync(join(directory, 'hadrian.toml'), config)
      const plugins = await hadrian(context, directory, 'plugins')
      assert.match(plugins.stdout, new RegExp(`my-own +${kind} +on +0\\.1\\.0 +path: `), plugins.stderr)
      const checked = await hadrian(context, directory, 'check')
      assert.equal(checked.code, 0, checked.stderr)
    })

  test('refuses names that are none, and directories in use', async (context) => {
    const directory = directoryWith(context, { 'used/file': '' })
    for (const words of [['plugin', 'Max_Words'], ['plugin', '../up'], ['thing', 'name'], ['plugin']]) {
      const refused = await hadrian(context, directory, 'new', ...words)
      assert.equal(refused.code, 2, words.join(' '))
    }
    const taken = await hadrian(context, directory, 'new', 'plugin', 'auth')
    assert.equal(taken.code, 1)
    assert.match(taken.stderr, /a plugin of this name is installed/)
    const used = await hadrian(context, directory, 'new', 'plugin', 'fine', 'used')
    assert.equal(used.code, 1)
    assert.match(used.stderr, /used: exists and is not empty/)
  })
})
