/** The page at `/api/docs`: Swagger UI's own files, and a page of ours that shows `/openapi.json` with them. */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** One file of the page. */
export interface DocsAsset {
  readonly contentType: string
  readonly body: Uint8Array
}

const html = 'text/html; charset=utf-8'
const script = 'text/javascript; charset=utf-8'
const style = 'text/css; charset=utf-8'

/** The files of swagger-ui-dist that the page needs, and no others. */
const packagedFiles: ReadonlyMap<string, string> = new Map([
  ['swagger-ui.css', style],
  ['swagger-ui-bundle.js', script],
  ['swagger-ui-bundle.js.LICENSE.txt', 'text/plain; charset=utf-8'],
  ['favicon-32x32.png', 'image/png'],
])

/** Nothing from elsewhere, and no inline script. Swagger UI sets `style` attributes and has its icons in `data:` URLs. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

const ownFiles: ReadonlyMap<string, readonly [contentType: string, text: string]> = new Map([
  [
    '',
    [
      html,
      `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta http-equiv="Content-Security-Policy" content="${contentSecurityPolicy}" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Hadrian API</title>
    <link rel="icon" type="image/png" href="/api/docs/favicon-32x32.png" />
    <link rel="stylesheet" href="/api/docs/swagger-ui.css" />
    <link rel="stylesheet" href="/api/docs/page.css" />
  </head>
  <body>
    <div id="documentation"></div>
    <noscript><p>This page needs JavaScript; the document itself is at <a href="/openapi.json">/openapi.json</a>.</p></noscript>
    <script src="/api/docs/swagger-ui-bundle.js"></script>
    <script src="/api/docs/page.js"></script>
  </body>
</html>
`,
    ],
  ],
  [
    'page.js',
    [
      script,
      `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#documentation',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // Never sends the document to a validator elsewhere.
  validatorUrl: null,
})
`,
    ],
  ],
  ['page.css', [style, 'body {\n  margin: 0;\n}\n']],
])

const loaded = new Map<string, DocsAsset>()

/**
 * A file of the page by its path below `/api/docs`; the empty path is the page itself. Undefined for any other path.
 * Files are read when they are first asked for, and kept.
 */
export function docsAsset(path: string): DocsAsset | undefined {
  const known = loaded.get(path)
  if (known !== undefined) return known
  const asset = readAsset(path)
  if (asset !== undefined) loaded.set(path, asset)
  return asset
}

function readAsset(path: string): DocsAsset | undefined {
  const own = ownFiles.get(path)
  if (own !== undefined) return { contentType: own[0], body: Buffer.from(own[1]) }
  const contentType = packagedFiles.get(path)
  if (contentType === undefined) return undefined
  const directory = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
  return { contentType, body: readFileSync(join(directory, path)) }
}
