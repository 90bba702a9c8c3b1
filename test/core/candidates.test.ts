import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import type { JsonObject, Principal } from '../../core/contract/plugin.ts'
import { mayUse } from '../../core/services/access.ts'
import { fakeProvider, harness, textEvents } from '../../core/testing/index.ts'
import type { Harness } from '../../core/testing/index.ts'
import { hookPlugin } from './hook-plugin.ts'

const models: JsonObject = {
  smart: { targets: ['fake/large', 'fake/small'], aliases: ['clever'] },
  'fake/large': { aliases: ['big'] },
  tiny: { targets: ['fake/small'] },
  'odd:nitro': { targets: ['fake/small'] },
}

const start = (rest: Parameters<typeof harness>[0] = {}): Promise<Harness> =>
  harness({
    provider: fakeProvider(({ target }) => textEvents(target.model)),
    ...rest,
    config: { models, ...rest.config },
  })

/** With two providers and no default, a bare name means nothing. */
const twoProviders = { providers: [[fakeProvider().definition, {}, 'other']], config: { routing: {} } } as const

/** The targets that a request begins with. */
async function targetsOf(body: JsonObject, config: JsonObject = {}): Promise<readonly string[]> {
  let names: readonly string[] = []
  const looks = hookPlugin('looks', {
    authorize: (exchange) => void (names = exchange.targets.map(({ name }) => name)),
  })
  await using gateway = await start({ plugins: [looks], config })
  await gateway.send(body)
  return names
}

interface Refusal {
  readonly code: string
  readonly message: string
  readonly param: string | null
  readonly details: {
    readonly requested: readonly string[]
    readonly candidates: readonly { readonly target: string; readonly removed_by: string }[]
    readonly suggestions: readonly string[]
  }
}

async function refusalOf(
  gateway: Harness,
  body: JsonObject,
  principal?: Principal,
): Promise<Refusal & { status: number }> {
  const answer = await gateway.send(body, principal && { principal })
  assert.equal(gateway.provider.calls.length, 0, 'something was sent')
  return { status: answer.status, ...(answer.body['error'] as Refusal) }
}

describe('candidates', () => {
  const cases: readonly (readonly [what: string, body: JsonObject, targets: readonly string[]])[] = [
    ['provider and model', { model: 'fake/anything' }, ['fake/anything']],
    ['a name of the catalog, in the order of its targets', { model: 'smart' }, ['fake/large', 'fake/small']],
    ['an alias of a name', { model: 'clever' }, ['fake/large', 'fake/small']],
    ['an alias of a target', { model: 'big' }, ['fake/large']],
    ['a bare name at the default provider', { model: 'whatever' }, ['fake/whatever']],
    ['a slash in the name of a model', { model: 'fake/org/model' }, ['fake/org/model']],
    ['a colon in a name', { model: 'llama3:8b' }, ['fake/llama3:8b']],
    ['a name of the catalog that ends like a suffix', { model: 'odd:nitro' }, ['fake/small']],
    ['several models in order, model first', { model: 'tiny', models: ['fake/a', 'fake/b'] }, ['fake/small', 'fake/a', 'fake/b']],
    ['models alone', { model: null, models: ['fake/a', 'tiny'] }, ['fake/a', 'fake/small']],
    ['each target once', { model: 'smart', models: ['fake/small', 'tiny', 'big', 'smart'] }, ['fake/large', 'fake/small']],
    ['unknown ones beside known ones', { model: 'nobody/x', models: ['fake/a'] }, ['fake/a']],
  ] // prettier-ignore
  for (const [what, body, targets] of cases) it(what, async () => assert.deepEqual(await targetsOf(body), targets))

  it('fall back to the default model only if none is named', async () => {
    const config = { routing: { default_provider: 'fake', default_model: 'tiny' } }
    assert.deepEqual(await targetsOf({ model: null }, config), ['fake/small'])
    assert.deepEqual(await targetsOf({ model: 'fake/x' }, config), ['fake/x'])
  })

  it('need a model', async () => {
    await using gateway = await start()
    const { status, code, param } = await refusalOf(gateway, { model: null })
    assert.deepEqual([status, code, param], [400, 'invalid_request_error', 'model'])
  })

  it('say what is not known, with the nearest names', async () => {
    await using gateway = await start({ ...twoProviders })
    const { status, code, message, param, details } = await refusalOf(gateway, { model: 'smrat', models: ['nobody/x'] })
    assert.deepEqual([status, code, param], [400, 'routing_error', 'model'])
    assert.equal(message, "Model 'smrat' not found")
    assert.deepEqual(details.requested, ['smrat', 'nobody/x'])
    assert.deepEqual(details.candidates, [
      { target: 'smrat', removed_by: 'unknown model' },
      { target: 'nobody/x', removed_by: 'unknown model' },
    ])
    assert.equal(details.suggestions[0], 'smart')
  })

  it('survive names that are no names', async () => {
    await using gateway = await start({ ...twoProviders })
    for (const model of [
      '',
      '/',
      '//',
      'fake/',
      '/fake',
      '__proto__',
      'constructor',
      '__proto__/x',
      'x\u0000',
      '\ud800',
      'a'.repeat(10_000),
    ]) {
      // prettier-ignore
      const { status } = await refusalOf(gateway, { model })
      assert.equal(status, 400, JSON.stringify(model))
    }
  })

  it('cannot inject headers by their names', async () => {
    await using gateway = await start()
    assert.equal((await gateway.send({ model: 'fake/x\r\nx-evil: 1' })).status, 400)
    const { status, headers } = await gateway.send({ model: 'fake/caf\u00e9 \u{1f600}' })
    assert.equal(status, 200)
    assert.match(headers['x-model']!, /^[\x20-\x7e]*$/)
  })
})

describe('access to models', () => {
  const limited = (...allowedModels: string[]): Principal => ({ id: 'limited', allowedModels })

  const allowed: readonly (readonly [what: string, list: readonly string[], body: JsonObject])[] = [
    ['an exact name', ['fake/small'], { model: 'fake/small' }],
    ['a prefix', ['fake/sm*'], { model: 'fake/small' }],
    ['everything', ['*'], { model: 'smart' }],
    ['a catalog name stands for all its targets', ['smart'], { model: 'smart' }],
    ['a catalog name by the target behind it', ['fake/small'], { model: 'tiny' }],
    ['all of several', ['tiny', 'fake/large'], { model: 'tiny', models: ['big'] }],
  ]
  for (const [what, list, body] of allowed)
    it(`lets through ${what}`, async () => {
      await using gateway = await start({ principal: limited(...list) })
      assert.equal((await gateway.send(body)).status, 200)
    })

  const bypasses: readonly (readonly [what: string, list: readonly string[], body: JsonObject])[] = [
    ['another model', ['fake/small'], { model: 'fake/large' }],
    ['an empty list', [], { model: 'fake/small' }],
    ['the second of models', ['fake/small'], { model: 'fake/small', models: ['fake/large'] }],
    ['models without model', ['fake/small'], { model: null, models: ['fake/large'] }],
    ['an alias of what is forbidden', ['fake/small'], { model: 'big' }],
    ['a catalog name one of whose targets is forbidden', ['fake/small'], { model: 'smart' }],
    ['the alias of an allowed catalog name', ['smart'], { model: 'clever' }],
    ['a target of an allowed catalog name by itself', ['smart'], { model: 'fake/large' }],
    ['a name that only ends like one', ['fake/small'], { model: 'fake/small:free' }],
    ['another case', ['fake/small'], { model: 'fake/SMALL' }],
    ['blanks after', ['fake/small'], { model: 'fake/small ' }],
    ['a longer name', ['fake/small'], { model: 'fake/small-but-large' }],
    ['a shorter prefix', ['fake/small-*'], { model: 'fake/small' }],
    ['a path that climbs', ['fake/small'], { model: 'fake/small/../large' }],
    ['a prefix in the name of the model', ['fake/small'], { model: 'fake/fake/small' }],
    ['a bare name at the default provider', ['fake/small'], { model: 'large' }],
    ['a star that was sent', ['fake/small'], { model: 'fake/*' }],
    ['a name composed in another way', ['fake/caf\u00e9'], { model: 'fake/cafe\u0301' }],
  ]
  for (const [what, list, body] of bypasses)
    for (const dialect of ['chat', 'responses'] as const)
      it(`is not got around by ${what}: ${dialect}`, async () => {
        await using gateway = await start({ principal: limited(...list) })
        const { status, body: answer } = await gateway.send(body, { dialect })
        assert.equal(status, 403)
        assert.equal((answer['error'] as { code: string }).code, 'model_not_allowed')
        assert.equal(gateway.provider.calls.length, 0)
      })

  it('is decided before any hook of an exchange', async () => {
    let asked = false
    const looks = hookPlugin('looks', { authorize: () => void (asked = true) })
    await using gateway = await start({ plugins: [looks], principal: limited('fake/small') })
    assert.equal((await gateway.send({ model: 'fake/large' })).status, 403)
    assert.equal(asked, false)
  })

  it('does not tell names that the caller may not use', async () => {
    await using gateway = await start({ principal: limited('tiny'), ...twoProviders })
    const { details } = await refusalOf(gateway, { model: 'smrat' })
    assert.deepEqual(details.suggestions, [])
    const near = await refusalOf(gateway, { model: 'tiyn' })
    assert.deepEqual(near.details.suggestions, ['tiny'])
  })

  it('is exact but for a star at the end', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.boolean(), (pattern, name, prefix) => {
        fc.pre(!pattern.endsWith('*'))
        const principal = limited(pattern + (prefix ? '*' : ''))
        const expected = prefix ? name.startsWith(pattern) : name === pattern
        assert.equal(mayUse(principal, { name, requested: '\u0000other' }), expected || (prefix && pattern === ''))
        assert.equal(
          mayUse(principal, { name: '\u0000other', requested: name }),
          expected || (prefix && pattern === ''),
        )
      }),
    )
  })
})
