/** A reporter that prints each file as it ends, the failures in full, and the totals in the words of the spec reporter. */

import type { TestEvent } from 'node:test/reporters'
import { relative } from 'node:path'
import { inspect } from 'node:util'

type Failure = { readonly name: string; readonly file: string; readonly error: unknown }

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const failures: Failure[] = []
  for await (const event of source) {
    if (
      event.type === 'test:fail' &&
      (event.data.details.error as { failureType?: string }).failureType !== 'subtestsFailed'
    ) {
      const { name, file = '', details } = event.data
      failures.push({ name, file: relative(process.cwd(), file), error: details.error.cause ?? details.error })
      yield `✖ ${relative(process.cwd(), file)}: ${name}\n`
    } else if (event.type === 'test:stderr') yield event.data.message
    else if (event.type === 'test:summary') {
      const { counts, duration_ms: durationMs, file } = event.data
      const failed = counts.tests - counts.passed - counts.skipped - counts.todo
      if (file !== undefined) yield `${counts.passed} passed, ${failed} failed  ${relative(process.cwd(), file)}\n`
      else {
        for (const failure of failures) yield `\n✖ ${failure.file}: ${failure.name}\n${inspect(failure.error)}\n`
        yield `\nℹ tests ${counts.tests}\nℹ pass ${counts.passed}\nℹ fail ${failed}\nℹ duration_ms ${Math.round(durationMs)}\n`
        yield `\n${counts.passed} passed, ${failed} failed\n`
      }
    }
  }
}
