import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { IpRanges, isIpRange } from '../../plugins/auth/ip-ranges.ts'

const ipv4 = fc.nat({ max: 0xffff_ffff })
const ipv6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n })

function textOf4(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.')
}

function textOf6(value: bigint): string {
  const digits = value.toString(16).padStart(32, '0')
  return digits.match(/.{4}/g)!.join(':')
}

/** Whether two numbers agree in their first bits. */
function agree(one: bigint, other: bigint, bits: number, width: number): boolean {
  const rest = BigInt(width - bits)
  return one >> rest === other >> rest
}

const isMapped = (value: bigint): boolean => value >> 32n === 0xffffn

describe('ranges of addresses', () => {
  it('hold exactly the IPv4 addresses whose first bits are theirs, also written as IPv6', () => {
    fc.assert(
      fc.property(ipv4, ipv4, fc.nat({ max: 32 }), fc.nat({ max: 32 }), (network, other, bits, same) => {
        // An address near the edge: as many first bits as `same` are those of the network.
        const mask = same === 0 ? 0 : (-1 << (32 - same)) >>> 0
        const address = ((network & mask) | (other & ~mask)) >>> 0
        const expected = agree(BigInt(network), BigInt(address), bits, 32)
        const ranges = new IpRanges([`${textOf4(network)}/${bits}`])
        assert.equal(ranges.includes(textOf4(address)), expected)
        assert.equal(ranges.includes(`::ffff:${textOf4(address)}`), expected)
        const mapped = new IpRanges([`::ffff:${textOf4(network)}/${bits + 96}`])
        assert.equal(mapped.includes(textOf4(address)), expected)
        assert.equal(mapped.includes(textOf6((0xffffn << 32n) | BigInt(address))), expected)
      }),
    )
  })

  it('hold exactly the IPv6 addresses whose first bits are theirs', () => {
    fc.assert(
      fc.property(ipv6, ipv6, fc.nat({ max: 128 }), fc.nat({ max: 128 }), (network, other, bits, same) => {
        const rest = (1n << BigInt(128 - same)) - 1n
        const address = (network & ~rest) | (other & rest)
        fc.pre(!isMapped(network) && !isMapped(address))
        assert.equal(
          new IpRanges([`${textOf6(network)}/${bits}`]).includes(textOf6(address)),
          agree(network, address, bits, 128),
        )
      }),
    )
  })

  it('are of one family: all of IPv6 has no IPv4 address in it, and the other way round', () => {
    const [all6, all4] = [new IpRanges(['::/0']), new IpRanges(['0.0.0.0/0'])]
    assert.deepEqual(
      [all6.includes('1.2.3.4'), all6.includes('::ffff:1.2.3.4'), all6.includes('::1')],
      [false, false, true],
    )
    assert.deepEqual(
      [all4.includes('1.2.3.4'), all4.includes('::ffff:1.2.3.4'), all4.includes('::1')],
      [true, true, false],
    )
    assert.ok(!new IpRanges(['0.0.0.0/0']).includes('::ffff:0:0:1'), 'this is no IPv4 address')
  })

  it('are as many as are given, and none holds what is no address', () => {
    fc.assert(
      fc.property(fc.array(ipv4, { minLength: 1, maxLength: 50 }), ipv4, fc.string(), (addresses, other, text) => {
        const ranges = new IpRanges(addresses.map(textOf4))
        for (const address of addresses) assert.ok(ranges.includes(textOf4(address)))
        assert.equal(ranges.includes(textOf4(other)), addresses.includes(other))
        if (!isIpRange(text)) assert.ok(!ranges.includes(text))
      }),
    )
  })
})
