import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { resolveOrder } from '../../core/boot/order.ts'
import type { Orderable } from '../../core/boot/order.ts'
import { StartupError } from '../../core/services/problems.ts'

function plugin(name: string, constraints: Partial<Pick<Orderable, 'before' | 'after' | 'origin'>> = {}): Orderable {
  return { name, before: [], after: [], origin: 'default', ...constraints }
}

function namesOf(plugins: readonly Orderable[], known: readonly string[] = []): string[] {
  return resolveOrder(plugins, known).ordered.map(({ name }) => name)
}

function problemOf(plugins: readonly Orderable[]): { message: string; hint: string } {
  try {
    resolveOrder(plugins, [])
  } catch (error) {
    assert.ok(error instanceof StartupError)
    const [{ path, message, hint } = { path: '', message: '', hint: '' }] = error.problems
    assert.equal(path, 'plugins')
    return { message, hint: hint ?? '' }
  }
  return assert.fail('there is no cycle')
}

describe('the order of plugins', () => {
  const table: readonly (readonly [what: string, plugins: readonly Orderable[], expected: string])[] = [
    ['nothing', [], ''],
    ['no constraints', [plugin('a'), plugin('b'), plugin('c')], 'a b c'],
    ['before an earlier one', [plugin('a'), plugin('b'), plugin('c', { before: ['a'] })], 'b c a'],
    ['after a later one', [plugin('a', { after: ['c'] }), plugin('b'), plugin('c')], 'b c a'],
    ['constraints that hold already', [plugin('a', { before: ['b'] }), plugin('b', { after: ['a'] })], 'a b'],
    [
      'both say the same',
      [plugin('a', { after: ['b'] }), plugin('b', { before: ['a'] }), plugin('c')],
      'b a c',
    ],
    [
      'a chain against the given order',
      [plugin('a', { after: ['b'] }), plugin('b', { after: ['c'] }), plugin('c', { after: ['d'] }), plugin('d')],
      'd c b a',
    ],
    [
      'a diamond',
      [plugin('end', { after: ['left', 'right'] }), plugin('right', { after: ['top'] }), plugin('left', { after: ['top'] }), plugin('top')],
      'top right left end',
    ],
    [
      'names of objects',
      [plugin('constructor', { after: ['__proto__'] }), plugin('__proto__'), plugin('toString')],
      '__proto__ constructor toString',
    ],
  ] // prettier-ignore
  for (const [what, plugins, expected] of table) it(what, () => assert.equal(namesOf(plugins).join(' '), expected))

  it('says why: the constraints of the plugin, else where it came from', () => {
    const { ordered } = resolveOrder(
      [
        plugin('a', { origin: 'config[0]' }),
        plugin('b', { before: ['a'], after: ['absent'], origin: 'config[1]' }),
        plugin('c', { after: ['a', 'b'] }),
      ],
      ['absent'],
    )
    assert.deepEqual(ordered, [
      { name: 'b', reason: 'before a' },
      { name: 'a', reason: 'config[0]' },
      { name: 'c', reason: 'after a, after b' },
    ])
  })

  it('warns of a name that no package has, with the nearest spelling', () => {
    const { ordered, warnings } = resolveOrder(
      [plugin('budget', { after: ['rate-limt'] }), plugin('rate-limit', { before: ['nothing-like-it'] })],
      ['auth'],
    )
    assert.deepEqual(
      ordered.map(({ name }) => name),
      ['budget', 'rate-limit'],
    )
    assert.deepEqual(warnings, [
      'plugin "budget" wants to run after "rate-limt", which no installed package is called. Did you mean "rate-limit"?',
      'plugin "rate-limit" wants to run before "nothing-like-it", which no installed package is called',
    ])
  })

  it('ignores a package that is installed and not enabled', () => {
    const { ordered, warnings } = resolveOrder(
      [plugin('a', { before: ['off'] }), plugin('b', { after: ['off'] })],
      ['off'],
    )
    assert.deepEqual(warnings, [])
    assert.deepEqual(ordered, [
      { name: 'a', reason: 'default' },
      { name: 'b', reason: 'default' },
    ])
  })

  it('refuses a cycle with its edges in order, and nothing that is not on it', () => {
    const { message, hint } = problemOf([
      plugin('bystander', { after: ['c'] }),
      plugin('a', { before: ['b'] }),
      plugin('b', { before: ['c'] }),
      plugin('c', { before: ['a'] }),
      plugin('alone'),
    ])
    const edges = message.slice('the order of plugins has a cycle: '.length).split(', ')
    assert.deepEqual(new Set(edges), new Set(['"a" before "b"', '"b" before "c"', '"c" before "a"']))
    assert.match(hint, /\[plugins\.[abc]\] order = /)
  })

  it('refuses a plugin that must come before itself', () => {
    assert.match(problemOf([plugin('a', { before: ['a'] })]).message, /: "a" before "a"$/)
  })

  it('refuses two that want the same place', () => {
    assert.match(problemOf([plugin('a', { before: ['b'] }), plugin('b', { before: ['a'] })]).message, /"a" before "b"/)
  })
})

/** Names with constraints that agree with one hidden order, given in another. */
const solvable = fc
  .record({
    hidden: fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 9 }),
    edges: fc.array(fc.tuple(fc.nat(8), fc.nat(8), fc.boolean()), { maxLength: 16 }),
    shuffle: fc.infiniteStream(fc.nat(1000)),
  })
  .map(({ hidden, edges, shuffle }) => {
    const constraints = new Map(hidden.map((name) => [name, { before: [] as string[], after: [] as string[] }]))
    for (const [one, other, asBefore] of edges) {
      const [first, then] = [hidden[Math.min(one, other)], hidden[Math.max(one, other)]]
      if (first === undefined || then === undefined || first === then) continue
      if (asBefore) constraints.get(first)!.before.push(then)
      else constraints.get(then)!.after.push(first)
    }
    const given = hidden
      .map((name) => ({ name, key: shuffle.next().value! }))
      .toSorted((a, b) => a.key - b.key)
      .map(({ name }) => plugin(name, constraints.get(name)))
    return given
  })

describe('the order of plugins, whatever they ask for', () => {
  it('holds every constraint and keeps every plugin', () => {
    fc.assert(
      fc.property(solvable, (plugins) => {
        const names = namesOf(plugins)
        assert.deepEqual(names.toSorted(), plugins.map(({ name }) => name).toSorted())
        for (const { name, before, after } of plugins) {
          for (const other of before) assert.ok(names.indexOf(name) < names.indexOf(other))
          for (const other of after) assert.ok(names.indexOf(name) > names.indexOf(other))
        }
      }),
    )
  })

  it('is stable: in each place stands the first of the given order that may', () => {
    fc.assert(
      fc.property(solvable, (plugins) => {
        const names = namesOf(plugins)
        const mayStandAt = (name: string, position: number): boolean =>
          plugins.every(
            (each) =>
              names.indexOf(each.name) < position ||
              !(
                (each.before.includes(name) && each.name !== name) ||
                (each.name === name &&
                  (each.after.some((other) => names.indexOf(other) >= position) || names.indexOf(name) < position))
              ),
          )
        for (const [position, name] of names.entries()) {
          const first = plugins.find((each) => names.indexOf(each.name) >= position && mayStandAt(each.name, position))
          assert.equal(first?.name, name)
        }
      }),
    )
  })

  it('is a fixed point: an order that is right stays', () => {
    fc.assert(
      fc.property(solvable, (plugins) => {
        const byName = new Map(plugins.map((each) => [each.name, each]))
        const once = namesOf(plugins)
        assert.deepEqual(namesOf(once.map((name) => byName.get(name)!)), once)
      }),
    )
  })

  it('finds a cycle that is there, and prints edges that were asked for and close', () => {
    fc.assert(
      fc.property(solvable, fc.nat(8), fc.nat(8), (plugins, one, other) => {
        const names = namesOf(plugins)
        const [first, then] = [names[Math.min(one, other)], names[Math.max(one, other)]]
        fc.pre(first !== undefined && then !== undefined && first !== then)
        const quoted = new Map(names.map((name, index) => [name, `p${index}`]))
        const renamed = (list: readonly string[]): string[] => list.map((name) => quoted.get(name)!)
        const circular = plugins.map(({ name, before, after, origin }) => ({
          name: quoted.get(name)!,
          origin,
          before: [...renamed(before), ...(name === first ? [quoted.get(then)!] : []), ...(name === then ? [quoted.get(first)!] : [])],
          after: renamed(after),
        })) // prettier-ignore
        const asked = new Set(
          circular.flatMap(({ name, before, after }) => [
            ...before.map((later) => `"${name}" before "${later}"`),
            ...after.map((earlier) => `"${earlier}" before "${name}"`),
          ]),
        )
        const edges = problemOf(circular).message.slice('the order of plugins has a cycle: '.length).split(', ')
        for (const edge of edges) assert.ok(asked.has(edge), edge)
        const ends = edges.map((edge) => /"(\w+)" before "(\w+)"/.exec(edge)!.slice(1))
        for (const [index, [, to]] of ends.entries()) assert.equal(ends[(index + 1) % ends.length]![0], to)
      }),
    )
  })
})
