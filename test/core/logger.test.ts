import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { gatewayError } from '../../core/contract/errors.ts'
import { createLogger, describeError } from '../../core/services/logger.ts'
import type { LoggerOptions } from '../../core/services/logger.ts'

function record(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = []
  const logger = createLogger({ level: 'debug', destination: { write: (line) => lines.push(line) }, ...options })
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? '') as Record<string, never> }
}

void test('a line is JSON with time, level, bindings, fields and message', () => {
  const { logger, lines, last } = record()
  logger.child({ plugin: 'auth' }).child({ exchange: 'x1' }).warn({ keys: 2 }, 'Keys are stale')
  assert.ok(lines[0]?.endsWith('}\n'))
  const { time, ...rest } = last()
  assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.deepEqual(rest, { level: 'warn', plugin: 'auth', exchange: 'x1', keys: 2, message: 'Keys are stale' })
})

void test('lines below the level are not written, and silent writes none', () => {
  const { logger, lines } = record({ level: 'warn' })
  logger.info({}, 'no')
  logger.debug({}, 'no')
  logger.error({}, 'yes')
  assert.equal(lines.length, 1)
  const silent = record({ level: 'silent' })
  silent.logger.error({}, 'no')
  assert.equal(silent.lines.length, 0)
  assert.throws(() => record({ level: 'loud' }))
})

void test('a known secret appears nowhere: field, message, binding, error, stack, cause, URL', () => {
  const secret = 'pa"ss\\word/ü 1'
  const known: string[] = []
  const { logger, lines } = record({ secrets: () => known })
  known.push(secret)
  const cause = new Error(`connect https://x/?key=${encodeURIComponent(secret)}`)
  const error = new Error(`refused ${secret}`, { cause: new AggregateError([cause, new Error(secret)], secret) })
  logger.child({ bound: secret }).error({ error, nested: { deep: [secret], json: JSON.stringify({ secret }) } }, secret)
  const line = lines[0] ?? ''
  JSON.parse(line)
  const inJson = JSON.stringify(secret).slice(1, -1)
  for (const form of [secret, inJson, JSON.stringify(inJson).slice(1, -1), encodeURIComponent(secret)]) {
    assert.ok(!line.includes(form), form)
  }
  assert.ok(line.includes('[redacted]'))
})

void test('keys of well-known shapes and bearer tokens appear nowhere', () => {
  const { logger, lines } = record()
  const values = [
    `gw_live_${'a-B_9'.repeat(8)}`,
    'sk-proj-Abc123_def-456',
    'sk-ant-api03-xxxxxxxxxxxx',
    'sk-abcd****************wxyz',
    'Bearer eyJhbGciOi.J9.abc-_~+/=',
  ]
  for (const value of values) {
    logger.error({ error: new Error('outer', { cause: new Error(`sent ${value}!`) }), [value]: value }, `got ${value}`)
    const secret = value.replace('Bearer ', '')
    assert.ok(!lines.at(-1)?.includes(secret), value)
    JSON.parse(lines.at(-1) ?? '')
  }
  logger.info({ headers: { authorization: 'Basic dXNlcg==', 'X-API-Key': 'a"b', cookie: 'c=1' } }, 'call')
  assert.ok(!/dXNlcg|a\\"b|c=1/.test(lines.at(-1) ?? ''))
  JSON.parse(lines.at(-1) ?? '')
})

void test('ordinary text stays as it is', () => {
  const { logger, last } = record({ secrets: () => ['', 'a'] })
  const message = 'task-something at disk-usage-report, bearer of news'
  logger.info({ count: 12345678 }, message)
  assert.equal(last()['message'], message)
})

void test('whatever is secret and whatever is logged, the line stays JSON and the secret stays out', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 4, maxLength: 20, unit: 'grapheme' }).filter((s) => !'[redacted]'.includes(s)),
      fc.string({ unit: 'grapheme' }),
      fc.integer(),
      (secret, other, count) => {
        const { logger, lines } = record({ secrets: () => [secret] })
        logger.info({ value: `x${secret}${other}`, count }, 'Constant')
        const value = String((JSON.parse(lines[0] ?? '') as Record<string, unknown>)['value'])
        assert.ok(!value.includes(secret) || '[redacted][redacted]'.includes(secret), value)
      },
    ),
  )
})

void test('errors are described with code, message, stack and causes, and cycles end', () => {
  const cause = Object.assign(new Error('ECONN'), { code: 'ECONNRESET' })
  const error = gatewayError('provider_error', 'Upstream failed', { cause, details: { prompt: 'hello' } })
  error.plugin = 'budget'
  error.hook = 'reserve'
  const described = describeError(error)
  assert.equal(described.type, 'GatewayError')
  assert.equal(described.code, 'provider_error')
  assert.equal(described.status, 502)
  assert.equal(described.plugin, 'budget')
  assert.equal(described.hook, 'reserve')
  assert.match(described.stack ?? '', /logger\.test/)
  assert.equal(described.cause?.code, 'ECONNRESET')
  assert.ok(!JSON.stringify(described).includes('hello'))

  const loop = new Error('loop')
  loop.cause = loop
  assert.equal(describeError(loop).cause?.type, 'Cycle')
  assert.deepEqual(describeError('text'), { type: 'string', message: 'text' })
  assert.deepEqual(describeError(undefined), { type: 'undefined', message: 'undefined' })
  assert.deepEqual(describeError({ prompt: 'hidden' }), { type: 'Object', message: '' })
  const hostile = {
    get message(): string {
      throw new Error('no')
    },
  }
  assert.equal(describeError(hostile).type, 'Unknown')
})

void test('what is away is described without stacks, with its causes', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const cause = Object.assign(new Error('The database is away', { cause: refused }), { code: 'database_unavailable' })
  for (const error of [cause, gatewayError('budget_unavailable', 'Not now', { cause })]) {
    const described = describeError(error)
    assert.ok(!JSON.stringify(described).includes('stack'))
    assert.match(JSON.stringify(described), /ECONNREFUSED/)
  }
})

void test('pretty lines are short, with the stacks below', () => {
  const { logger, lines } = record({ pretty: true })
  logger.warn({ provider: 'openai', error: new Error('outer', { cause: new TypeError('inner') }) }, 'Failed')
  assert.match(lines[0] ?? '', /^\d\d:\d\d:\d\d\.\d{3} WARN {2}Failed provider=openai\n {2}Error: outer\n/)
  assert.match(lines[0] ?? '', /caused by TypeError: inner/)
})

void test('pretty lines have nothing in them that a terminal obeys', () => {
  const { logger, lines } = record({ pretty: true })
  logger.warn(
    { requested: '\u001b[2J\u001b]0;x\u0007', other: 'a\u009b31m', error: new Error('\u001b[31mred') },
    'Failed',
  )
  assert.match(lines[0] ?? '', /requested=\\u001b\[2J\\u001b\]0;x\\u0007/)
  assert.doesNotMatch(lines[0] ?? '', /(?!\n)\p{Cc}/u)
})

void test('by default lines go to stderr and none is lost at exit', () => {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('../../core/services/logger.ts', import.meta.url).href)}
    const logger = createLogger({ level: 'info' })
    for (let i = 0; i < 100; i++) logger.info({ i }, 'Line')
    process.exit(0)`
  const out = execFileSync('sh', [
    '-c',
    '"$0" --input-type=module-typescript -e "$1" 2>&1 >/dev/null',
    process.execPath,
    program,
  ])
  assert.equal(out.toString().trim().split('\n').length, 100)
})
