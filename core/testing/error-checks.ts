import assert from 'node:assert/strict'
import { errorBody, isGatewayError } from '../contract/errors.ts'
import type { HttpProvider } from '../contract/provider.ts'
import type { RecordedAnswer } from './provider-suite.ts'

/** Bodies that upstreams, and what stands between, send with an error status. */
const strangeBodies = [
  undefined,
  null,
  '',
  '<html>',
  0,
  [],
  {},
  { error: null },
  { error: 'text' },
  { error: { message: 5 } },
]

/** An upstream's failure becomes an error that a client and the fallback can use, whatever its body. */
export function checkError(
  provider: HttpProvider,
  { status, headers = {}, body }: RecordedAnswer,
  secrets: readonly string[],
): void {
  const quoting = secrets.map((secret) => ({ error: { message: `Incorrect API key provided: ${secret}.` } }))
  for (const answer of [body, ...strangeBodies, ...(status === 401 ? quoting : [])]) {
    const error = provider.decodeError(status, headers, answer)
    const place = `${status} with ${JSON.stringify(answer)}`
    assert.ok(isGatewayError(error), `${place}: use upstreamError or gatewayError`)
    assert.ok(error.message.length > 0, `${place} gives no message`)
    assert.ok(
      error.status >= 400 && error.status !== 401 && error.status !== 403,
      `${place} reaches the client as ${error.status}, which says that its own key is wrong`,
    )
    if (status === 429 || status >= 500)
      assert.notEqual(error.retryable, false, `${place}: another target may do better, so it is retryable`)
    const shown = JSON.stringify(errorBody(error, 'suite'))
    for (const secret of secrets) assert.ok(!shown.includes(secret), `${place} shows the operator's credential`)
  }
}
