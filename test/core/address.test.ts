import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { assert as check, constantFrom, ipV4, ipV6, oneof, property, string } from 'fast-check'
import { addressPolicy, isPublicAddress, literalAddress } from '../../core/services/address.ts'

const refused: Record<string, readonly string[]> = {
  'this network': ['0.0.0.0', '0.1.2.3', '0.255.255.255'],
  loopback: ['127.0.0.1', '127.255.255.254', '::1'],
  private: ['10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1', '192.168.255.255'],
  'carrier-grade NAT': ['100.64.0.1', '100.127.255.255', '100.100.100.200'],
  'link local': ['169.254.0.1', '169.254.169.254', 'fe80::1', 'febf::1'],
  'site local': ['fec0::1', 'feff::1'],
  'unique local': ['fc00::1', 'fd00:ec2::254', 'fdff::1'],
  'protocol assignments': ['192.0.0.1', '192.0.0.192', '2001:1::1', '2001:1ff::1'],
  documentation: ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1', '3fff:fff::1'],
  benchmarking: ['198.18.0.1', '198.19.255.255', '2001:2::1'],
  multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1', 'ff0e::1'],
  reserved: ['240.0.0.1', '255.255.255.254', '192.88.99.1'],
  broadcast: ['255.255.255.255'],
  'platform of a cloud': ['168.63.129.16'],
  unspecified: ['::'],
  'IPv4 compatible': ['::7f00:1', '::127.0.0.1', '::8.8.8.8', '::ffff'],
  'IPv4 mapped': ['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:8.8.8.8', '0:0:0:0:0:ffff:a9fe:a9fe'],
  'IPv4 translated': ['::ffff:0:127.0.0.1', '::ffff:0:8.8.8.8'],
  'NAT64 of a private address': ['64:ff9b::127.0.0.1', '64:ff9b::7f00:1', '64:ff9b::a9fe:a9fe', '64:ff9b::10.0.0.1'],
  'NAT64 for local use': ['64:ff9b:1::1', '64:ff9b:1::8.8.8.8'],
  '6to4': ['2002::1', '2002:7f00:1::1', '2002:808:808::1'],
  Teredo: ['2001::1', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
  ISATAP: ['2620:0:1cfe::5efe:127.0.0.1', '2620:0:1cfe::200:5efe:7f00:1'],
  ORCHID: ['2001:10::1', '2001:20::1'],
  discard: ['100::1'],
  'outside of global unicast': ['200::1', '400::1', '4000::1', '5f00::1', '8000::1', 'e000::1', 'fe00::1'],
  'with a zone': ['fe80::1%eth0', '2606:4700::1%lo'],
  'not canonical': ['2130706433', '0x7f000001', '0x7f.1', '127.1', '0177.0.0.1', '8.8.8', '1.1.1.1.', '[2606:4700::1]'],
  'no address': ['', ' ', 'localhost', 'example.com', '8.8.8.8 ', '8.8.8.8\n', '８.８.８.８', '256.1.1.1'],
}

const accepted = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.1',
  '168.63.129.15',
  '169.253.255.255',
  '172.15.255.255',
  '172.32.0.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '2606:4700:4700::1111',
  '2001:4860:4860::8888',
  '2a00:1450:4001:81b::200e',
  '64:ff9b::8.8.8.8',
  '64:ff9b::808:808',
]

describe('isPublicAddress', () => {
  for (const [kind, addresses] of Object.entries(refused))
    it(`refuses ${kind}`, () => {
      for (const address of addresses) assert.equal(isPublicAddress(address), false, address)
    })

  it('accepts the addresses around those ranges', () => {
    for (const address of accepted) assert.equal(isPublicAddress(address), true, address)
  })

  it('never accepts an IPv6 form of an IPv4 address that is refused itself', () => {
    check(
      property(ipV4(), constantFrom('::', '::ffff:', '::ffff:0:', '64:ff9b::'), (address, prefix) => {
        if (!isPublicAddress(address)) assert.equal(isPublicAddress(prefix + address), false)
      }),
    )
  })

  it('never throws', () => {
    check(
      property(oneof(string(), ipV6(), string({ unit: 'binary' })), (text) => {
        assert.equal(typeof isPublicAddress(text), 'boolean')
      }),
    )
  })
})

describe('literalAddress', () => {
  const loopbackSpellings = [
    '127.0.0.1',
    '2130706433',
    '0x7f000001',
    '0x7F.1',
    '0x7f.0x0.0x0.0x1',
    '0177.0.0.1',
    '017700000001',
    '127.1',
    '127.0.1',
    '127.0.0.1.',
    '%31%32%37.0.0.1',
    '１２７.0.0.1',
    '127。0。0。1',
    '①②⑦.⓪.⓪.①',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::1]',
    '[0:0:0:0:0:0:0:1]',
    '[::127.0.0.1]',
    '0',
    '0x0',
    '[::]',
  ]

  for (const spelling of loopbackSpellings)
    it(`sees the address in ${spelling}`, () => {
      const literal = literalAddress(new URL(`http://${spelling}/`).hostname)
      assert.ok(literal !== undefined)
      assert.equal(isPublicAddress(literal), false, literal)
    })

  it('gives undefined for names', () => {
    for (const name of ['localhost', 'localhost.', 'example.com', '127.0.0.1.nip.io', 'a.0x7f.com'])
      assert.equal(literalAddress(new URL(`http://${name}/`).hostname), undefined, name)
  })

  it('finds that URLs with a zone are no URLs', () => {
    for (const zone of ['[fe80::1%eth0]', '[fe80::1%25eth0]', '[::1%25lo]'])
      assert.equal(URL.canParse(`http://${zone}/`), false)
  })
})

describe('addressPolicy', () => {
  it('allows public addresses only, without exceptions', () => {
    const policy = addressPolicy()
    assert.equal(policy.allowsAddress('8.8.8.8'), true)
    assert.equal(policy.allowsAddress('10.0.0.1'), false)
    assert.equal(policy.allowsHost('localhost'), false)
  })

  it('adds ranges and single addresses of the same family', () => {
    const policy = addressPolicy(['10.1.0.0/16', '127.0.0.2', 'fd00::/8'])
    assert.equal(policy.allowsAddress('10.1.2.3'), true)
    assert.equal(policy.allowsAddress('10.2.0.1'), false)
    assert.equal(policy.allowsAddress('127.0.0.2'), true)
    assert.equal(policy.allowsAddress('127.0.0.3'), false)
    assert.equal(policy.allowsAddress('fd12::1'), true)
    assert.equal(policy.allowsAddress('::1'), false)
    assert.equal(policy.allowsAddress('::ffff:127.0.0.2'), false)
    assert.equal(policy.allowsAddress('::ffff:10.1.2.3'), false)
  })

  it('adds host names in any spelling', () => {
    const policy = addressPolicy(['MinIO.internal.', 'bücher.example'])
    assert.equal(policy.allowsHost('minio.internal'), true)
    assert.equal(policy.allowsHost('minio.internal.'), true)
    assert.equal(policy.allowsHost('xn--bcher-kva.example'), true)
    assert.equal(policy.allowsHost('sub.minio.internal'), false)
    assert.equal(policy.allowsHost('minio.internal.evil.example'), false)
  })

  it('names an entry that is neither', () => {
    for (const entry of [
      '',
      '10.0.0.0/33',
      '10.0.0.0/8/8',
      '10.0.0.0/',
      '10.0.0.0/x',
      '0x7f.1',
      'http://a',
      'a:80',
      'a b',
      'a/b',
      '::/129',
    ])
      assert.throws(() => addressPolicy([entry]), new RegExp(`^TypeError: "${entry.replaceAll('.', '\\.')}"`), entry)
  })
})
