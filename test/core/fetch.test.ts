import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { after, before, beforeEach, describe, it } from 'node:test'
import { isGatewayError } from '../../core/contract/errors.ts'
import type { Clock, FetchOptions } from '../../core/contract/plugin.ts'
import { systemClock } from '../../core/services/clock.ts'
import { createSafeFetch } from '../../core/services/fetch.ts'
import type { Resolve, SafeFetchOptions } from '../../core/services/fetch.ts'

/** Stands for a public address: allowed although it is loopback. */
const open = '127.0.0.2'
/** Stands for the operator's network: must never be reached. */
const closed = '127.0.0.1'

/** A server that counts connections, so that even one without a request is seen. */
class Canary {
  connections = 0
  listener: RequestListener = (_request, response) => response.end('hello')
  readonly server: Server = createServer((request, response) => this.listener(request, response))

  async listen(host: string, port = 0): Promise<void> {
    this.server.on('connection', () => this.connections++)
    this.server.listen(port, host)
    await once(this.server, 'listening')
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }
}

const allowed = new Canary()
const forbidden = new Canary()

before(async () => {
  await forbidden.listen(closed)
  // The same port, so that only the address tells the two apart.
  await allowed.listen(open, forbidden.port)
})

after(async () => {
  await allowed.close()
  await forbidden.close()
})

beforeEach(() => {
  allowed.listener = (_request, response) => response.end('hello')
  allowed.connections = 0
  forbidden.connections = 0
})

function isStopping(error: unknown): boolean {
  return isGatewayError(error) && error.code === 'shutting_down'
}

async function noDns(hostname: string): Promise<never> {
  throw new Error(`${hostname} must not be resolved`)
}

function fetchWith(options: Partial<SafeFetchOptions> = {}) {
  return createSafeFetch({ allow: [open], clock: systemClock, resolve: noDns, ...options })
}

function answers(...list: readonly (readonly string[])[]): Resolve & { asked: number } {
  const resolve = (): Promise<readonly string[]> => Promise.resolve(list[Math.min(resolve.asked++, list.length - 1)]!)
  resolve.asked = 0
  return resolve
}

const at = (path: string, host = open) => `http://${host}:${forbidden.port}${path}`

/** The call fails with a 400 that says this and names no address. */
async function refuses(call: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isGatewayError(error), String(error))
    assert.equal(error.code, 'invalid_request_error')
    assert.equal(error.status, 400)
    assert.match(error.message, message)
    assert.doesNotMatch(error.message, /\d+\.\d+\.\d+\.\d+|::/)
    return true
  })
  assert.equal(forbidden.connections, 0)
}

describe('safe fetch', () => {
  it('fetches what is allowed', async () => {
    allowed.listener = (request, response) => {
      assert.equal(request.headers['accept-encoding'], 'identity')
      assert.equal(request.headers['x-key'], 'secret')
      assert.equal(request.headers.host, `${open}:${forbidden.port}`)
      response.setHeader('content-type', 'text/plain; charset=utf-8')
      response.setHeader('set-cookie', ['a=1', 'b=2'])
      response.end(request.url)
    }
    const answer = await fetchWith()(at('/a?b=c#d'), {
      headers: { 'X-Key': 'secret' },
      accept: ['image/*', 'text/plain'],
    })
    assert.equal(answer.status, 200)
    assert.equal(Buffer.from(answer.body).toString(), '/a?b=c')
    assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
    assert.equal(answer.headers['set-cookie'], 'a=1, b=2')
  })

  it('posts a body and returns failures with their status', async () => {
    allowed.listener = (request, response) => {
      response.statusCode = 418
      request.pipe(response)
    }
    const answer = await fetchWith()(at('/'), { method: 'POST', body: 'ping', accept: ['image/png'] })
    assert.equal(answer.status, 418)
    assert.equal(Buffer.from(answer.body).toString(), 'ping')
  })

  it('closes its connection, so that no later request finds it open', async () => {
    const closings: Promise<unknown>[] = []
    allowed.server.once('connection', (socket) => closings.push(once(socket, 'close')))
    await fetchWith()(at('/'))
    assert.equal(closings.length, 1)
    await Promise.all(closings)
  })
})

describe('safe fetch refuses addresses', () => {
  const spellings = [
    '127.0.0.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '017700000001',
    '127.1',
    '127.0.1',
    '127.0.0.1.',
    '%31%32%37.0.0.1',
    '１２７.0.0.1',
    '127。0。0。1',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    '[::1]',
    '[::]',
    '0.0.0.0',
    '0',
  ]

  for (const spelling of spellings)
    it(`spelled ${spelling}`, async () => {
      await refuses(fetchWith()(at('/', spelling)), /not public/)
    })

  for (const spelling of spellings)
    it(`spelled ${spelling} in a redirect`, async () => {
      allowed.listener = (_request, response) =>
        response
          .writeHead(302, {
            location: encodeURI(at('/', spelling)).replaceAll('%25', '%').replaceAll('%5B', '[').replaceAll('%5D', ']'),
          })
          .end()
      await refuses(fetchWith()(at('/')), /not public/)
      assert.equal(allowed.connections, 1)
    })

  for (const status of [301, 302, 303, 307, 308])
    it(`in a redirect with status ${status}`, async () => {
      allowed.listener = (_request, response) => response.writeHead(status, { location: at('/', closed) }).end()
      await refuses(fetchWith()(at('/')), /not public/)
    })

  it('in a second redirect, and in one without a scheme', async () => {
    allowed.listener = (request, response) =>
      response.writeHead(302, { location: request.url === '/' ? '/next' : `//${closed}:${forbidden.port}/` }).end()
    await refuses(fetchWith()(at('/')), /not public/)
    assert.equal(allowed.connections, 2)
  })

  it('of names', async () => {
    for (const answer of [[closed], ['::1'], ['::ffff:127.0.0.1'], ['10.0.0.1'], ['169.254.169.254'], []])
      await refuses(fetchWith({ resolve: answers(answer) })(at('/', 'name.example')), /no public address/)
  })

  it('of a name of which only some are refused, whatever their order', async () => {
    for (const answer of [
      [open, closed],
      [closed, open],
    ])
      await refuses(fetchWith({ resolve: answers(answer) })(at('/', 'name.example')), /no public address/)
    assert.equal(allowed.connections, 0)
  })

  it('that a resolver spells in a way of its own', async () => {
    for (const spelling of ['127.2', '0x7f.2', '127.0.0.2 ', 'localhost', 'fe80::1%eth0', '[::1]'])
      await refuses(fetchWith({ resolve: answers([spelling]) })(at('/', 'name.example')), /no public address/)
    assert.equal(allowed.connections, 0)
  })

  it('that the system resolver finds for localhost', async () => {
    for (const name of ['localhost', 'LOCALHOST', 'localhost.'])
      await refuses(createSafeFetch({ clock: systemClock })(at('/', name)), /no public address/)
  })

  it('with the same words as for a name that does not exist', async () => {
    await refuses(fetchWith({ resolve: noDns })(at('/', 'name.example')), /^The host of the URL has no public address$/)
  })
})

describe('safe fetch and DNS answers that change', () => {
  it('dials the address it has checked, and asks once', async () => {
    const resolve = answers([open], [closed])
    const answer = await fetchWith({ resolve })(at('/', 'rebinding.example'))
    assert.equal(answer.status, 200)
    assert.equal(resolve.asked, 1)
    assert.equal(allowed.connections, 1)
    assert.equal(forbidden.connections, 0)
  })

  it('checks again for the next call', async () => {
    const safeFetch = fetchWith({ resolve: answers([open], [closed]) })
    await safeFetch(at('/', 'rebinding.example'))
    await refuses(safeFetch(at('/', 'rebinding.example')), /no public address/)
  })

  it('checks again for a redirect to the same host', async () => {
    allowed.listener = (_request, response) => response.writeHead(302, { location: '/next' }).end()
    await refuses(fetchWith({ resolve: answers([open], [closed]) })(at('/', 'rebinding.example')), /no public address/)
    assert.equal(allowed.connections, 1)
  })

  it('tries the next checked address if one takes no connection', async () => {
    // Nobody listens on this one.
    const answer = await fetchWith({ allow: ['127.0.0.0/8'], resolve: answers(['127.0.0.3', open]) })(
      at('/', 'two.example'),
    )
    assert.equal(Buffer.from(answer.body).toString(), 'hello')
  })
})

describe('safe fetch exceptions', () => {
  it('lets an allowed host name have any address', async () => {
    const safeFetch = createSafeFetch({ allow: ['minio.internal'], clock: systemClock, resolve: answers([open]) })
    assert.equal((await safeFetch(at('/', 'MINIO.internal.'))).status, 200)
    await refuses(safeFetch(at('/', 'other.internal')), /no public address/)
    await refuses(safeFetch(at('/', open)), /not public/)
  })
})

describe('safe fetch of the operator’s own services', () => {
  /** The call fails with this status, without naming an address or the key. */
  async function fails(call: Promise<unknown>, status: number, message: RegExp): Promise<void> {
    await assert.rejects(call, (error) => {
      assert.ok(isGatewayError(error), String(error))
      assert.equal(error.status, status)
      assert.match(error.message, message)
      assert.doesNotMatch(JSON.stringify([error.message, error.details]), /secret|\d+\.\d+\.\d+\.\d+/)
      return true
    })
  }
  const trusted: FetchOptions = { trusted: true, headers: { authorization: 'secret' } }

  it('takes any address, literal or resolved', async () => {
    const safeFetch = createSafeFetch({ clock: systemClock, resolve: answers([closed]) })
    assert.equal((await safeFetch(at('/', closed), trusted)).status, 200)
    assert.equal((await safeFetch(at('/', 'searxng.internal'), trusted)).status, 200)
    assert.equal(forbidden.connections, 2)
    await assert.rejects(safeFetch(at('/', closed)), { status: 400 })
    assert.equal(forbidden.connections, 2)
  })

  it('follows redirects within the origin, and nowhere else', async () => {
    allowed.listener = (request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/next' }).end()
      else response.end(request.headers.authorization)
    }
    const safeFetch = createSafeFetch({ clock: systemClock, resolve: noDns })
    assert.equal(Buffer.from((await safeFetch(at('/'), trusted)).body).toString(), 'secret')
    for (const elsewhere of [at('/next', closed), 'https://127.0.0.2/', 'http://127.0.0.2:1/', at('/', 'localhost')]) {
      allowed.listener = (_request, response) => response.writeHead(302, { location: elsewhere }).end()
      await fails(safeFetch(at('/'), trusted), 502, /another host/)
    }
    assert.equal(forbidden.connections, 0)
  })

  it('blames the service for what goes wrong', async () => {
    const safeFetch = createSafeFetch({ clock: systemClock, resolve: noDns })
    await fails(safeFetch('http://127.0.0.3:1/?key=secret', trusted), 502, /could not be fetched/)
    await fails(safeFetch(at('/'), { ...trusted, limitBytes: 1 }), 502, /more than 1 bytes/)
    let fire: (() => void) | undefined
    const clock: Clock = {
      ...systemClock,
      after: (_delayMs, callback) => {
        fire = callback
        return () => undefined
      },
    }
    allowed.listener = () => fire!()
    await fails(createSafeFetch({ clock, resolve: noDns })(at('/'), trusted), 504, /did not answer/)
  })
})

describe('safe fetch refuses requests', () => {
  for (const url of [
    '',
    'nonsense',
    '/relative',
    'http://',
    'file:///etc/passwd',
    'ftp://127.0.0.2/',
    'data:text/plain,hello',
    'gopher://127.0.0.2/',
    'javascript:1',
    'http://user@127.0.0.2/',
    'http://user:secret@127.0.0.2/',
    ' http://127.0.0.2/',
    'http://127.0.0.2/\r\nx: y',
    'http://127.0\t.0.2/',
    'http://127.0.0.2/\0',
    'http://[fe80::1%25eth0]/',
    'http://127.0.0.2:99999/',
    `http://127.0.0.2/${'x'.repeat(20_000)}`,
  ])
    it(`to ${JSON.stringify(url.slice(0, 40))}`, async () => {
      await refuses(fetchWith()(url), /^The URL/)
      assert.equal(allowed.connections, 0)
    })

  for (const location of [
    'file:///etc/passwd',
    'http://user:secret@127.0.0.2/',
    'data:,x',
    'http://[',
    'ftp://127.0.0.2/',
  ])
    it(`redirected to ${location}`, async () => {
      allowed.listener = (_request, response) => response.writeHead(302, { location }).end()
      await refuses(fetchWith()(at('/')), /^The URL/)
    })

  it('with headers that frame the message or break the line', async () => {
    const bad = [
      ['Host', 'evil'],
      ['Content-Length', '5'],
      ['transfer-encoding', 'chunked'],
      ['connection', 'upgrade'],
      ['x', 'a\r\nb: c'],
      ['x', 'a\0'],
      ['x y', 'z'],
      ['x', 'ž'],
      ['', 'x'],
    ] as const
    for (const [name, value] of bad) await refuses(fetchWith()(at('/'), { headers: { [name]: value } }), /header/)
    assert.equal(allowed.connections, 0)
  })
})

describe('safe fetch redirects', () => {
  it('follows them within the origin with all headers, and tells the last URL', async () => {
    allowed.listener = (request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/next?a=b#c' }).end()
      else response.end(request.headers.authorization)
    }
    const answer = await fetchWith()(at('/'), { headers: { authorization: 'secret' } })
    assert.equal(Buffer.from(answer.body).toString(), 'secret')
    assert.equal(answer.url, at('/next?a=b'))
  })

  it('keeps headers from another origin', async () => {
    allowed.listener = (request, response) => {
      if (request.url === '/') response.writeHead(302, { location: at('/next', 'other.example') }).end()
      else response.end(JSON.stringify(request.headers))
    }
    const headers = { authorization: 'secret', cookie: 'secret', 'x-api-key': 'secret', 'user-agent': 'hadrian' }
    const answer = await fetchWith({ resolve: answers([open]) })(at('/'), { headers })
    const seen = Buffer.from(answer.body).toString()
    assert.doesNotMatch(seen, /secret/)
    assert.match(seen, /hadrian/)
  })

  it('turns POST to GET for 303, repeats it for 307, and takes no body to another origin', async () => {
    let status = 303
    let location = '/next'
    allowed.listener = (request, response) => {
      if (request.url === '/') response.writeHead(status, { location }).end()
      else request.on('data', (chunk) => response.write(chunk)).on('end', () => response.end(request.method))
    }
    const post: FetchOptions = { method: 'POST', body: 'ping ', headers: { 'content-type': 'text/plain' } }
    const body = async () => Buffer.from((await fetchWith({ resolve: answers([open]) })(at('/'), post)).body).toString()
    assert.equal(await body(), 'GET')
    status = 307
    assert.equal(await body(), 'ping POST')
    location = at('/next', 'other.example')
    await refuses(body(), /redirects a body/)
  })

  it('gives up after too many', async () => {
    allowed.listener = (_request, response) => response.writeHead(302, { location: '/' }).end()
    await refuses(fetchWith()(at('/')), /too often/)
    assert.equal(allowed.connections, 4)
    await refuses(fetchWith()(at('/'), { maxRedirects: 0 }), /too often/)
    assert.equal(allowed.connections, 5)
  })
})

describe('safe fetch limits', () => {
  it('refuses a body by its declared length', async () => {
    allowed.listener = (_request, response) => {
      response.setHeader('content-length', '101')
      response.flushHeaders()
    }
    await refuses(fetchWith()(at('/'), { limitBytes: 100 }), /more than 100 bytes/)
  })

  it('refuses an endless body while it comes, and takes one of exactly the limit', async () => {
    const chunk = Buffer.alloc(64 * 1024)
    allowed.listener = (_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      }
      response.on('drain', more)
      more()
    }
    await refuses(fetchWith()(at('/'), { limitBytes: 1024 * 1024 }), /more than/)
    allowed.listener = (_request, response) => response.end(chunk)
    assert.equal((await fetchWith()(at('/'), { limitBytes: chunk.length })).body.byteLength, chunk.length)
  })

  it('refuses a type that is not accepted, and none at all', async () => {
    allowed.listener = (request, response) => {
      if (request.url !== '/') response.setHeader('content-type', request.url!.slice(1))
      response.end('x')
    }
    const accept = ['image/*', 'application/pdf']
    for (const type of ['text/html', 'imagex/png', 'application/pdfx', ''])
      await refuses(fetchWith()(at(`/${type}`), { accept }), /accepted type/)
    for (const type of ['image/png', 'IMAGE/JPEG', 'application/pdf;x=y'])
      assert.equal((await fetchWith()(at(`/${type}`), { accept })).status, 200)
  })

  it('refuses compressed bodies, so that none can unfold', async () => {
    allowed.listener = (_request, response) => response.setHeader('content-encoding', 'gzip').end('x')
    await refuses(fetchWith()(at('/')), /compressed/)
  })

  it('ends at the deadline of the clock, in every phase', async () => {
    let fire: (() => void) | undefined
    let cancelled = 0
    const clock: Clock = {
      ...systemClock,
      after(delayMs, callback) {
        assert.equal(delayMs, 1234)
        fire = callback
        return () => cancelled++
      },
    }
    const { promise: resolving, resolve: isResolving } = Promise.withResolvers<void>()
    const hanging: Resolve = () => {
      isResolving()
      return Promise.withResolvers<never>().promise
    }
    const inDns = refuses(fetchWith({ clock, resolve: hanging })(at('/', 'a.example'), { timeoutMs: 1234 }), /1234 ms/)
    await resolving
    fire!()
    await inDns

    for (const start of [false, true]) {
      const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>()
      const { promise: gone, resolve: go } = Promise.withResolvers<void>()
      allowed.listener = (request, response) => {
        request.socket.on('close', go)
        if (start) response.write('x')
        arrive()
      }
      const call = refuses(fetchWith({ clock })(at('/'), { timeoutMs: 1234 }), /1234 ms/)
      await arrived
      fire!()
      await call
      await gone
    }
    assert.equal(cancelled, 3)
  })

  it('ends at the deadline while the connection is made', async () => {
    let fire: (() => void) | undefined
    const clock: Clock = {
      ...systemClock,
      after(_delayMs, callback) {
        fire = callback
        return () => undefined
      },
    }
    // Takes the connection and never answers the TLS handshake.
    const silent = createSocketServer()
    silent.listen(0, open)
    await once(silent, 'listening')
    const connected = once(silent, 'connection') as Promise<[Socket]>
    const call = refuses(fetchWith({ clock })(`https://${open}:${(silent.address() as AddressInfo).port}/`), /ms/)
    const [socket] = await connected
    const closing = once(socket.on('error', () => undefined).resume(), 'close')
    fire!()
    await call
    await closing
    silent.close()
  })

  it('ends when the caller aborts, with the reason, and takes its listener away', async () => {
    const controller = new AbortController()
    allowed.listener = () => controller.abort(new Error('gone'))
    await assert.rejects(fetchWith()(at('/'), { signal: controller.signal }), /^Error: gone$/)
    await assert.rejects(fetchWith()(at('/'), { signal: controller.signal }), /^Error: gone$/)
    assert.equal(allowed.connections, 1)
  })

  it('ends when the gateway stops', async () => {
    const safeFetch = fetchWith()
    allowed.listener = () => safeFetch.close()
    await assert.rejects(safeFetch(at('/')), isStopping)
    await assert.rejects(safeFetch(at('/')), isStopping)
    assert.equal(allowed.connections, 1)
  })

  it('reports a server that hangs up or speaks nonsense as an unusable URL', async () => {
    allowed.listener = (request) => request.socket.destroy()
    await refuses(fetchWith()(at('/')), /could not be fetched/)
    allowed.listener = (request) => request.socket.end('nonsense\r\n\r\n')
    await refuses(fetchWith()(at('/')), /could not be fetched/)
    allowed.listener = (request) => request.socket.end(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`)
    await refuses(fetchWith()(at('/')), /could not be fetched/)
    allowed.listener = (request) => request.socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')
    await refuses(fetchWith()(at('/')), /could not be fetched/)
  })

  it('speaks TLS only with a certificate it can trust', async () => {
    await refuses(fetchWith()(`https://${open}:${forbidden.port}/`), /could not be fetched/)
    await refuses(fetchWith()(`https://${closed}:${forbidden.port}/`), /not public/)
  })
})
