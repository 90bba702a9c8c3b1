import type { IncomingMessage } from 'node:http'
import { BlockList, isIP, isIPv6 } from 'node:net'

/** Tells a client's address, behind the proxies the operator trusts. */
export type ClientAddress = (request: IncomingMessage) => string

/**
 * Reads `X-Forwarded-For` from the right as long as the address so far is a trusted proxy; what an untrusted one says
 * about itself counts for nothing.
 *
 * @param trusted addresses and CIDR ranges of the operator's proxies
 */
export function clientAddress(trusted: readonly string[]): ClientAddress {
  const list = new BlockList()
  for (const entry of trusted) {
    const [address = '', prefix] = entry.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  const isTrusted = (address: string): boolean => list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
  return (request) => {
    let address = plain(request.socket.remoteAddress ?? '')
    if (trusted.length === 0 || isIP(address) === 0) return address
    const header = request.headers['x-forwarded-for']
    const hops = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').map((hop) => plain(hop.trim()))
    while (isTrusted(address)) {
      const hop = hops.pop()
      if (hop === undefined || isIP(hop) === 0) break
      address = hop
    }
    return address
  }
}

/** IPv4 addresses that arrive mapped into IPv6 in their own form. */
function plain(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}
