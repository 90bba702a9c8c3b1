import type { OptionsOf, WireRequest } from '@hadrian/core/provider'
import type { options } from './options.ts'

/** The headers that every request of an instance carries, credentials included. */
export function instanceHeaders(settings: OptionsOf<typeof options>): Readonly<Record<string, string>> {
  const { api_key: key, api_key_header: keyHeader, organization, project, headers } = settings
  const credentials: Record<string, string> = {}
  if (key) credentials[keyHeader?.toLowerCase() ?? 'authorization'] = keyHeader === undefined ? `Bearer ${key}` : key
  return {
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    ...(organization !== undefined && { 'openai-organization': organization }),
    ...(project !== undefined && { 'openai-project': project }),
    ...credentials,
  }
}

/** The wire with the headers of its instance. */
export function withHeaders(wire: WireRequest, headers: Readonly<Record<string, string>>): WireRequest {
  return { ...wire, headers: { ...wire.headers, ...headers } }
}
