import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { JsonObject } from '../contract/canonical.ts'
import { gatewayError } from '../contract/errors.ts'
import type { Awaitable, InboundCall, Principal, Reply, RouteCall } from '../contract/plugin.ts'
import type { HookScope } from '../pipeline/hooks.ts'
import { callHook } from '../pipeline/hooks.ts'
import type { Step } from '../pipeline/plan.ts'
import { Cancellation } from '../services/cancellation.ts'
import { asObject, readJsonBody } from './body.ts'

/** What a caller's own request id may look like; anything else is replaced, since it goes into logs and headers. */
const validRequestId = /^[\w.:@/+=-]{1,128}$/

/** A request on its way in: what hooks and routes see of HTTP. */
export class HttpCall implements RouteCall {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly ip: string
  readonly params: Readonly<Record<string, string>>
  readonly cancellation = new Cancellation()
  readonly #request: IncomingMessage
  readonly #bodyLimitBytes: number
  #principal: Principal | undefined

  constructor(init: {
    readonly request: IncomingMessage
    readonly response: ServerResponse
    readonly path: string
    readonly search: string
    readonly params: Readonly<Record<string, string>>
    readonly ip: string
    readonly bodyLimitBytes: number
    readonly id: string
  }) {
    const { request, response } = init
    this.#request = request
    this.#bodyLimitBytes = init.bodyLimitBytes
    this.id = init.id
    this.method = request.method ?? 'GET'
    this.path = init.path
    this.query = init.search === '' ? {} : Object.fromEntries(new URLSearchParams(init.search))
    this.headers = request.headers as Record<string, string | undefined>
    this.ip = init.ip
    this.params = init.params
    // `close` of the response, not of the request: body reading disturbs the latter.
    response.on('close', () => {
      if (!response.writableEnded) this.cancellation.abort(gatewayError('request_cancelled', 'The client went away'))
    })
  }

  get signal(): AbortSignal {
    return this.cancellation.signal
  }

  get principal(): Principal | undefined {
    return this.#principal
  }

  identify(principal: Principal): void {
    this.#principal = principal
  }

  async body(): Promise<JsonObject> {
    return asObject((await readJsonBody(this.#request, this.#bodyLimitBytes)).value)
  }

  /** The body of a model call, with its bytes. */
  modelBody(): ReturnType<typeof readJsonBody> {
    return readJsonBody(this.#request, this.#bodyLimitBytes)
  }
}

/** The id to answer with: the caller's, if it is a fit one. Never a key for accounting. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && validRequestId.test(given) ? given : randomUUID()
}

/** Walks the `receive` hooks. Returns the reply of the first that answers. */
export function receive(call: InboundCall, scope: HookScope): Awaitable<Reply | undefined> {
  return walk(scope.services.plan.steps.receive, 0, call, scope)
}

/** Walks the `authenticate` hooks until one knows the caller. Returns the reply of the first that answers instead. */
export function authenticate(call: InboundCall, scope: HookScope): Awaitable<Reply | undefined> {
  return walk(scope.services.plan.steps.authenticate, 0, call, scope)
}

/** Nearly always no hook returns a promise, and then there is none to wait for. */
function walk(
  steps: readonly Step<'receive' | 'authenticate'>[],
  from: number,
  call: InboundCall,
  scope: HookScope,
): Awaitable<Reply | undefined> {
  for (let index = from; index < steps.length && !call.principal; index++) {
    const step = steps[index]!
    const result = callHook(scope, step, () => step.call(call))
    if (result instanceof Promise) return result.then((reply) => reply ?? walk(steps, index + 1, call, scope))
    if (result) return result
  }
  return undefined
}
