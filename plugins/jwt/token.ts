import type { InboundCall, JsonObject } from '@hadrian/core/plugin'

const bearer = /^bearer[ \t]+(\S+)$/i
/** Header, payload and signature; a token without a signature (`alg: none`) has an empty third part. */
const shape = /^[\w-]+\.[\w-]+\.[\w-]*$/

/** Characters. All headers of a request together may have 16,384. */
export const longestToken = 12_288

/** The token of a request that is shaped as a signed JWT, if it has one. */
export function presentedToken(headers: InboundCall['headers']): string | undefined {
  const token = bearer.exec(headers['authorization']?.trim() ?? '')?.[1]
  return token !== undefined && shape.test(token) ? token : undefined
}

/** What a token says before anything of it is proven. */
export interface Unproven {
  readonly issuer: string
  /** Its JSON names something twice: readers would differ on what it says. */
  readonly isAmbiguous: boolean
}

/** Who a token claims to be from; undefined for what is no JWT, or says nothing of it. */
export function unproven(token: string): Unproven | undefined {
  const [header = '', payload = ''] = token.split('.')
  const texts = [header, payload].map((part) => Buffer.from(part, 'base64url').toString('utf8'))
  const [head, claims] = texts.map(parsed)
  const issuer = claims?.['iss']
  if (!head || typeof head['alg'] !== 'string' || typeof issuer !== 'string') return undefined
  return { issuer, isAmbiguous: texts.some(hasRepeatedNames) }
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined
  } catch {
    return undefined
  }
}

/** Whether an object anywhere in a valid JSON text has two members of one name, however the names are escaped. */
export function hasRepeatedNames(json: string): boolean {
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}]/g
  const objects: Set<string>[] = []
  for (const [text, colon] of json.matchAll(tokens)) {
    if (text === '{') objects.push(new Set())
    else if (text === '}') objects.pop()
    else if (colon !== undefined) {
      const names = objects.at(-1)
      const name = JSON.parse(text.slice(0, -colon.length)) as string
      if (names?.has(name)) return true
      names?.add(name)
    }
  }
  return false
}
