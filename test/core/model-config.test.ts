import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { catalogEntries, instanceInfo } from '../../core/boot/catalog-entries.ts'
import { loadConfig } from '../../core/boot/config.ts'
import type { LoadedConfig } from '../../core/boot/config.ts'
import { quantizations } from '../../core/contract/model-info.ts'
import { readSchemaFile } from '../../core/services/schema-files.ts'
import { directoryWith, lines, problemsOf, workspaceFiles } from './boot-fixtures.ts'

function load(context: TestContext, toml: string, environment: Record<string, string> = {}): Promise<LoadedConfig> {
  const directory = directoryWith(context, workspaceFiles({ 'hadrian.toml': toml }))
  return loadConfig({ environment, workingDirectory: directory, core: join(directory, 'core') })
}

test('a target is a name, or a table of it and what is known of it', async (context) => {
  const toml = `
[providers.eu]
type = "openai"
api_key = "x"
slug = "openai/eu"
data_policy = { retention_days = 0, training = false, region = "\${REGION}" }
quantization = "bf16"
weight = 2
[providers.us]
type = "openai"
api_key = "x"
[models.smart]
distillable = true
targets = [
  "us/large",
  { target = "eu/large", slug = "eu", weight = 0.5, quantization = "fp8", context_length = 8000, max_output_tokens = 100,
    data_policy = { training = true }, prices = { input_per_million = 1, output_per_million = 2 } },
]
`
  const { config, providers } = await load(context, toml, { REGION: 'eu-west' })
  assert.deepEqual(catalogEntries(config.models), [
    {
      name: 'smart',
      aliases: [],
      targets: [
        { target: 'us/large' },
        {
          target: 'eu/large',
          info: {
            slug: 'eu',
            weight: 0.5,
            quantization: 'fp8',
            contextLength: 8000,
            maxOutputTokens: 100,
            dataPolicy: { training: true },
            prices: { input: 1_000_000, output: 2_000_000 },
          },
        },
      ],
      info: { distillable: true },
    },
  ])
  assert.deepEqual(
    [...instanceInfo(config.providers)],
    [
      [
        'eu',
        {
          slug: 'openai/eu',
          quantization: 'bf16',
          weight: 2,
          dataPolicy: { retentionDays: 0, training: false, region: 'eu-west' },
        },
      ],
    ],
  )
  assert.deepEqual(
    providers.map(({ options }) => options),
    [{ api_key: 'x' }, { api_key: 'x' }],
  )
  assert.deepEqual(config.providers['us']!['list_models'], 'on-demand')
})

test('every mistake in what is known of models is told with its path', async (context) => {
  const toml = `
[providers.eu]
type = "openai"
api_key = "x"
data_policy = { retention = 3 }
list_models = "sometimes"
[models.smart]
quantization = "fp9"
targets = [
  "eu/a",
  "eu/a",
  { target = "uu/b" },
  { slug = "x" },
  { target = "eu/c", wieght = 1, weight = -1, data_policy = { training = "no" } },
  { target = "eu/d", prices = { input_per_million = 1, output_per_million = 1, tiers = [
    { above_input_tokens = 1, input_per_million = 1, output_per_million = 1 },
    { above_input_tokens = 1, input_per_million = 2, output_per_million = 2 },
  ] } },
  7,
]
`
  assert.deepEqual(lines(await problemsOf(load(context, toml))).toSorted(), [
    'models.smart.quantization: must be one of "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown", not "fp9" (Did you mean "fp4"?)',
    'models.smart.targets[1]: "eu/a" is a target of this entry already',
    'models.smart.targets[2].target: there is no provider "uu" (Did you mean "eu"?)',
    'models.smart.targets[3].target: is missing',
    'models.smart.targets[4].data_policy.training: must be true or false, not "no"',
    'models.smart.targets[4].weight: must be 0 or more, not -1',
    'models.smart.targets[4].wieght: is not a known key (Did you mean "weight"?)',
    'models.smart.targets[5].prices.tiers[1].above_input_tokens: is that of another tier too',
    'models.smart.targets[6]: must be a string or a table, not 7',
    'providers.eu.data_policy.retention: is not a known key (Known keys: retention_days, training, region.)',
    'providers.eu.list_models: must be one of "on-demand", "start", "never", not "sometimes"',
  ])
})

test('the config and the admin API know the same number formats', () => {
  const { info } = readSchemaFile('config')['$defs'] as { info: { properties: Record<string, { enum: string[] }> } }
  assert.deepEqual(info.properties['quantization']!.enum, quantizations)
})
