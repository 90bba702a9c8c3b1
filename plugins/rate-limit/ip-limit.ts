import type { Clock, InboundCall } from '@hadrian/core/plugin'
import { limitExceeded } from './refusal.ts'
import { LocalWindow } from './window.ts'

/** Addresses remembered: some 20 MB if all of them are busy. The ones not seen for longest are forgotten first. */
const mostAddresses = 20_000
/** Calls remembered whose caller is not known yet. */
const mostOpen = 10_000
/** A caller that is not known by then will not be: authentication has a deadline of five seconds. */
const openMs = 10_000

/** Limits for each address, in the spelling of the config. */
export interface IpOptions {
  readonly requests_per_minute?: number
  readonly requests_per_hour?: number
}

interface Address {
  readonly minute: LocalWindow
  readonly hour: LocalWindow
  /** Counted calls whose callers may still become known, oldest first. */
  readonly open: OpenCall[]
}

interface OpenCall {
  readonly call: InboundCall
  readonly address: Address
  readonly minuteBucket: number
  readonly hourBucket: number
  readonly atMs: number
  /** It stays counted, or is counted no more: either way nothing changes. */
  closed: boolean
}

/**
 * Limits calls by address, before anybody knows who is calling. A call whose caller is then known is taken out of the
 * count, so what counts are calls without credentials, with wrong ones, and anonymous ones. In memory, for this instance
 * alone.
 */
export class IpLimit {
  readonly #clock: Clock
  readonly #mostAddresses: number
  /** In the order in which they were last seen. */
  readonly #addresses = new Map<string, Address>()
  /** As in all addresses together. Those before `#oldest` are closed. */
  readonly #open: OpenCall[] = []
  #oldest = 0

  constructor(clock: Clock, limits: { readonly addresses?: number } = {}) {
    this.#clock = clock
    this.#mostAddresses = limits.addresses ?? mostAddresses
  }

  /** Addresses in memory. */
  get size(): number {
    return this.#addresses.size
  }

  /**
   * Counts a call.
   *
   * @throws GatewayError `rate_limit_exceeded`
   */
  receive(call: InboundCall, options: IpOptions): void {
    const nowMs = this.#clock.monotonicMs()
    this.#forget(nowMs)
    const address = this.#addressOf(networkOf(call.ip))
    const { requests_per_minute: perMinute, requests_per_hour: perHour } = options
    if (isOver(address, options, nowMs)) for (const open of address.open) this.#close(open)
    this.#check(address.minute, 'minute', perMinute, nowMs)
    this.#check(address.hour, 'hour', perHour, nowMs)
    const minuteBucket = address.minute.add(1, nowMs)
    const hourBucket = address.hour.add(1, nowMs)
    const open = { call, address, minuteBucket, hourBucket, atMs: nowMs, closed: false }
    this.#open.push(open)
    while (address.open[0]?.closed) address.open.shift()
    address.open.push(open)
  }

  /** Forgets all addresses. */
  close(): void {
    this.#addresses.clear()
    this.#open.length = 0
    this.#oldest = 0
  }

  #check(window: LocalWindow, name: 'minute' | 'hour', limit: number | undefined, nowMs: number): void {
    if (limit === undefined) return
    const waitMs = window.freeInMs(1, limit, nowMs)
    if (waitMs === 0) return
    const retryAfterMs = Math.min(waitMs, name === 'minute' ? 60_000 : 3_600_000)
    throw limitExceeded({
      limit,
      unit: 'requests',
      window: name,
      scope: 'ip',
      retryAfterMs,
      headers: {
        'x-ratelimit-limit': String(limit),
        'x-ratelimit-remaining': '0',
        'x-ratelimit-reset': String(Math.ceil(retryAfterMs / 1000)),
      },
    })
  }

  /** Takes a call out of the count if its caller is known by now. */
  #close(open: OpenCall): void {
    const { principal } = open.call
    if (open.closed || principal === undefined) return
    open.closed = true
    if (principal.id === 'anonymous') return
    open.address.minute.remove(open.minuteBucket, 1)
    open.address.hour.remove(open.hourBucket, 1)
  }

  /** Lets go of calls that are decided, from the oldest on. */
  #forget(nowMs: number): void {
    for (; this.#oldest < this.#open.length; this.#oldest++) {
      const open = this.#open[this.#oldest]!
      this.#close(open)
      const full = this.#open.length - this.#oldest >= mostOpen
      if (!open.closed && !full && nowMs - open.atMs < openMs) break
      open.closed = true
    }
    if (this.#oldest < 1000 && this.#oldest < this.#open.length) return
    this.#open.splice(0, this.#oldest)
    this.#oldest = 0
  }

  #addressOf(network: string): Address {
    let address = this.#addresses.get(network)
    if (address) this.#addresses.delete(network)
    else {
      address = { minute: new LocalWindow(60_000, 1000), hour: new LocalWindow(3_600_000, 60_000), open: [] }
      if (this.#addresses.size >= this.#mostAddresses) this.#addresses.delete(this.#addresses.keys().next().value!)
    }
    this.#addresses.set(network, address)
    return address
  }
}

/** What an address is counted as: itself, or the /64 of an IPv6 address, all of which one customer has. */
export function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)
  if (mapped) return mapped[1]!
  const [head = '', tail] = ip.toLowerCase().split('%')[0]!.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':')
    while (groups.length + after.length < 8) groups.push('0')
    groups.push(...after)
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}

function isOver({ minute, hour }: Address, options: IpOptions, nowMs: number): boolean {
  const { requests_per_minute: perMinute = Infinity, requests_per_hour: perHour = Infinity } = options
  return minute.used(nowMs) >= perMinute || hour.used(nowMs) >= perHour
}
