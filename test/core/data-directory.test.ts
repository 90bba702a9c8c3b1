import assert from 'node:assert/strict'
import { chmodSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeDataDirectory } from '../../core/boot/data-directory.ts'
import { directoryWith, problemsOf } from './boot-fixtures.ts'

const modeOf = (directory: string): number => statSync(directory).mode & 0o777

test('a data directory is made for its owner only, with what is missing above it', (context) => {
  const directory = directoryWith(context, {})
  makeDataDirectory(join(directory, 'a', 'b', 'c'))
  for (const path of ['a', 'a/b', 'a/b/c']) assert.equal(modeOf(join(directory, path)), 0o700, path)
})

test('one that is there stays as it is', (context) => {
  const directory = directoryWith(context, {})
  chmodSync(directory, 0o750)
  makeDataDirectory(directory)
  assert.equal(modeOf(directory), 0o750)
})

test('one that cannot be made is a problem that says what to do', async (context) => {
  const directory = directoryWith(context, { file: '' })
  symlinkSync(join(directory, 'nowhere'), join(directory, 'dangling'))
  const impossible = ['file', 'file/below', 'dangling', 'dangling/below'].map((path) => join(directory, path))
  // Under /proc a directory can be neither found nor made: making it must not go on for ever.
  for (const path of [...impossible, ...(process.platform === 'linux' ? ['/proc/foo', '/proc/foo/bar'] : [])]) {
    const [problem] = await problemsOf(Promise.resolve().then(() => makeDataDirectory(path)))
    assert.equal(problem?.path, path)
    assert.match(problem.message, /^the data directory cannot be used: ./)
    assert.match(problem.hint ?? '', /HADRIAN_DATA_DIR/)
  }
})
