/** Which network addresses a URL from a request may lead to. Pure: nothing here resolves or connects. */

import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { IPv4, IPv6 } from 'ipaddr.js'

/** The global unicast addresses that IANA has given out; everything outside is special or unassigned (RFC 4291). */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3')
/** NAT64: the last 32 bits are the IPv4 address that is really called (RFC 6052). */
const nat64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96')
/** Interface identifiers of ISATAP, which embed an IPv4 address (RFC 5214). */
const isatapMarks = new Set([0x0000, 0x0200])
/** Azure's own services answer to their virtual machines at this address, which looks public. */
const azurePlatform = '168.63.129.16'

/**
 * True for an address of the public internet. The spelling must be the canonical one that sockets and DNS use: decimal
 * dotted IPv4, or IPv6 without a zone; anything else is no address and therefore not public.
 */
export function isPublicAddress(address: string): boolean {
  const parsed = parseAddress(address)
  if (parsed === undefined) return false
  if (parsed.kind() === 'ipv4') return parsed.range() === 'unicast' && address !== azurePlatform
  const v6 = parsed as IPv6
  if (v6.match(nat64)) return isPublicAddress(lastFourBytes(v6).join('.'))
  return v6.range() === 'unicast' && v6.match(globalUnicast) && !isIsatap(v6)
}

function parseAddress(address: string): IPv4 | IPv6 | undefined {
  // ipaddr.js alone also reads `127.1`, `0x7f.1` and zones.
  return isIP(address) === 0 || address.includes('%') ? undefined : ipaddr.parse(address)
}

function lastFourBytes(address: IPv6): number[] {
  return address.toByteArray().slice(-4)
}

function isIsatap({ parts }: IPv6): boolean {
  return isatapMarks.has(parts[4]!) && parts[5] === 0x5efe
}

/** What may be called: public addresses, and what the operator allowed besides. */
export interface AddressPolicy {
  /** The host's addresses may be of any kind. `host` is the `hostname` of a parsed URL. */
  allowsHost(host: string): boolean
  /** `address` is canonical. */
  allowsAddress(address: string): boolean
}

/**
 * The policy with exceptions: host names, addresses, or ranges such as `10.0.0.0/8`.
 * Throws a `TypeError` that names the first entry that is none of these.
 */
export function addressPolicy(allow: readonly string[] = []): AddressPolicy {
  const ranges: [IPv4 | IPv6, number][] = []
  const hosts = new Set<string>()
  for (const entry of allow) {
    const range = parseRange(entry)
    if (range === undefined) hosts.add(canonicalHost(entry))
    else ranges.push(range)
  }
  return {
    allowsHost: (host) => hosts.has(withoutTrailingDot(host)),
    allowsAddress(address) {
      if (isPublicAddress(address)) return true
      const parsed = parseAddress(address)
      return parsed !== undefined && ranges.some((range) => parsed.kind() === range[0].kind() && parsed.match(range))
    },
  }
}

/** The policy for a URL of the operator's own: it may lead anywhere. */
export const anyAddress: AddressPolicy = { allowsHost: () => true, allowsAddress: () => true }

function parseRange(entry: string): [IPv4 | IPv6, number] | undefined {
  const [address = '', bits, ...rest] = entry.split('/')
  const parsed = parseAddress(address)
  if (parsed === undefined && bits === undefined) return undefined
  const widest = parsed?.kind() === 'ipv4' ? 32 : 128
  const length = bits === undefined ? widest : Number(/^\d{1,3}$/.test(bits) ? bits : Number.NaN)
  if (parsed === undefined || rest.length > 0 || !(length <= widest))
    throw new TypeError(`"${entry}" is neither a host name nor an address range such as 10.0.0.0/8`)
  return [parsed, length]
}

function canonicalHost(name: string): string {
  const url = /^[^\s/:@?#\\[\]]+$/.test(name) ? URL.parse(`http://${name}/`) : null
  // Other spellings of an address become one here; it would be a host name that never matches.
  if (url === null || literalAddress(url.hostname) !== undefined)
    throw new TypeError(`"${name}" is neither a host name nor an address range such as 10.0.0.0/8`)
  return withoutTrailingDot(url.hostname)
}

function withoutTrailingDot(host: string): string {
  return host.endsWith('.') ? host.slice(0, -1) : host
}

/**
 * The address that the `hostname` of a parsed URL stands for, or undefined for a name. The URL parser has already turned
 * decimal, octal, hexadecimal, short and full-width spellings into the canonical one.
 */
export function literalAddress(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return isIP(bare) === 0 ? undefined : bare
}
