import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import { describe, test } from 'node:test'
import { fill, optionsText } from '../../core/publishing/readme-tables.ts'
import { readmes } from '../../core/publishing/readmes.ts'
import { definePlugin } from '../../core/contract/plugin.ts'

/** The sections every package's README has, besides one about its hooks or dialects. */
const headings = ['## What it does', '## Options', '## Errors', '## Example']

const root = join(import.meta.dirname, '..', '..')

describe('the READMEs', async () => {
  const all = await readmes()

  test('there is one for the project and for each package', () => assert.ok(all.length >= 9))

  for (const { file, text, filled } of all)
    test(`${relative(root, file)} says what the code says`, () => {
      assert.ok(text, 'the file is missing')
      assert.equal(text, filled, 'run "npm run docs"')
      if (!/plugins|providers/.test(relative(root, file))) return
      for (const heading of headings) assert.ok(text.includes(`\n${heading}\n`), `no section "${heading}"`)
      assert.match(text, /\n## (Hooks used|Dialects)\n/)
    })
})

test('options are shown with type, default and meaning, nested ones under their path', () => {
  const definition = definePlugin({
    name: 'shown',
    api: 1,
    options: {
      type: 'object',
      required: ['key'],
      properties: {
        key: { type: 'string', description: 'A | B' },
        mode: { enum: ['a', 'b'], default: 'a', description: 'How.' },
        rules: {
          type: 'array',
          items: { type: 'object', properties: { most: { type: 'integer', minimum: 1, maximum: 9 } } },
        },
      },
    },
    params: { type: 'object', properties: {} },
    setup: () => ({}),
  })
  assert.equal(
    optionsText(definition),
    [
      '| Option         | Type                | Default  | Meaning |',
      '| -------------- | ------------------- | -------- | ------- |',
      '| `key`          | string              | required | A \\| B  |',
      '| `mode`         | `"a"`, `"b"`        | `"a"`    | How.    |',
      '| `rules`        | list of object      |          |         |',
      '| `rules[].most` | integer from 1 to 9 |          |         |',
      '',
      'A client names it in `plugins` without params.',
    ].join('\n'),
  )
})

test('only what stands between the marks is replaced', () => {
  const text = 'a\n<!-- options -->\nold\n<!-- /options -->\nb'
  assert.equal(fill(text, 'options', 'new'), 'a\n<!-- options -->\n\nnew\n\n<!-- /options -->\nb')
  assert.equal(fill(text, 'errors', 'new'), undefined)
  assert.equal(fill(fill(text, 'options', 'new')!, 'options', 'new'), fill(text, 'options', 'new'))
})
