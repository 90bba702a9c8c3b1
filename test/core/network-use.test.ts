import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'

const root = join(import.meta.dirname, '..', '..')

/** Files that may, and what for. */
const excused: Readonly<Record<string, string>> = {
  'plugins/auth/ip-ranges.ts': 'compares addresses',
  'plugins/jwt/json-fetch.ts': 'fetches keys from the issuer that the operator named, and follows no redirect',
}

const networkModule = /from '(?:node:)?(?:https?|http2|net|tls|dns(?:\/promises)?|dgram|undici)'/
const networkGlobal = /(?<![.#\w])(?:fetch\(|new (?:WebSocket|EventSource|XMLHttpRequest)\b)/
/** The file has `fetch` from the services, or from who has. */
const givenFetch = /[{,(]\s*fetch\s*[,:}]|\bfetch: SafeFetch\b/

describe('plugins and providers', () => {
  it('reach the network only through the services of the kernel, which check every address', () => {
    const files = globSync(['plugins/**/*.ts', 'providers/**/*.ts'], {
      cwd: root,
      exclude: (name) => /(?:^|\/)(?:dist|node_modules)(?:\/|$)/.test(name),
    })
    assert.ok(files.length > 150, 'the sources were not found')
    const reaching = files.filter((file) => {
      const text = readFileSync(join(root, file), 'utf8')
      return networkModule.test(text) || (networkGlobal.test(text) && !givenFetch.test(text))
    })
    assert.deepEqual(reaching.toSorted(), Object.keys(excused))
  })
})
