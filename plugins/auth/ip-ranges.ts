import { BlockList, isIPv4, isIPv6 } from 'node:net'

interface Range {
  readonly family: 'ipv4' | 'ipv6'
  readonly address: string
  readonly bits: number
}

const mappedStart = '::ffff:'
const mappedBits = 96

/** A list of addresses and CIDR ranges. An IPv4 address counts as one however it is written, mapped into IPv6 too. */
export class IpRanges {
  // Two, for one list would find every IPv4 address in `::/0`.
  readonly #ipv4 = new BlockList()
  readonly #ipv6 = new BlockList()

  /** @param entries each of which {@link isIpRange} */
  constructor(entries: Iterable<string>) {
    for (const entry of entries) {
      const range = parse(entry)
      if (!range) throw new Error('an entry is neither an address nor a range')
      const { family, address, bits } = range
      ;(family === 'ipv4' ? this.#ipv4 : this.#ipv6).addSubnet(address, bits, family)
    }
  }

  /** Whether an address is in one of the ranges. What is no address is in none. */
  includes(address: string): boolean {
    const plain = unmapped(address)
    if (isIPv4(plain)) return this.#ipv4.check(plain, 'ipv4')
    return isIPv6(plain) && !plain.includes('%') && this.#ipv6.check(plain, 'ipv6')
  }
}

/** Whether a text is an IPv4 or IPv6 address, alone or with the length of a prefix: `10.0.0.0/8`, `2001:db8::/32`. */
export function isIpRange(text: string): boolean {
  return parse(text) !== undefined
}

function parse(text: string): Range | undefined {
  const [address = '', length, ...rest] = text.split('/')
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  // A zone names an interface of one machine.
  if (rest.length > 0 || (family === 'ipv6' && (!isIPv6(address) || address.includes('%')))) return undefined
  const widest = family === 'ipv4' ? 32 : 128
  if (length !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(length)) return undefined
  const bits = length === undefined ? widest : Number(length)
  if (bits > widest) return undefined
  const plain = unmapped(address)
  return plain !== address && bits >= mappedBits
    ? { family: 'ipv4', address: plain, bits: bits - mappedBits }
    : { family, address, bits }
}

/** The IPv4 address that an IPv6 address stands for, if it does; else the address itself. */
function unmapped(address: string): string {
  if (!address.includes(':') || !isIPv6(address) || address.includes('%')) return address
  // The URL parser knows every spelling, and writes them all in one.
  const { hostname } = new URL(`http://[${address}]/`)
  const canonical = hostname.slice(1, -1)
  if (!canonical.startsWith(mappedStart)) return address
  const [high = '', low = '', ...rest] = canonical.slice(mappedStart.length).split(':')
  if (low === '' || rest.length > 0) return address
  const [upper, lower] = [Number.parseInt(high, 16), Number.parseInt(low, 16)]
  return [upper >> 8, upper & 255, lower >> 8, lower & 255].join('.')
}
