import { gatewayError, invalidRequest, jsonReply } from '@hadrian/core/plugin'
import type { Catalog, JsonObject, Reply, Route } from '@hadrian/core/plugin'
import type { Health } from './health.ts'
import { ProviderView } from './views.ts'

const path = '/admin/v1/providers'

/** What can be asked of one provider or of all, by the last segments of the path. */
const questions = [
  { all: '/health', one: '/health', what: 'health', show: (view: ProviderView) => view.health() },
  {
    all: '/circuit-breakers',
    one: '/circuit-breaker',
    what: 'circuit breakers',
    show: (view: ProviderView) => view.breaker(),
  },
  { all: '/stats', one: '/stats', what: 'figures', show: (view: ProviderView) => view.stats() },
  { all: '', one: '', what: 'state', show: (view: ProviderView) => view.summary() },
] as const

/** The admin API of providers. */
export function healthRoutes(catalog: Catalog, health: Health): Route[] {
  const viewOf = (name: string): ProviderView => {
    const provider = catalog.providers.find((each) => each.name === name)
    if (!provider) throw gatewayError('not_found', `No provider is called "${name.slice(0, 64)}"`)
    return new ProviderView(provider, health)
  }
  return [
    ...questions.map(({ all, what, show }): Route => ({
      method: 'GET',
      path: `${path}${all}`,
      scope: 'admin',
      summary: `Show the ${what} of all providers`,
      handle: () => listReply(catalog.providers.map((provider) => show(new ProviderView(provider, health)))),
    })),
    ...questions.map(({ one, what, show }): Route => ({
      method: 'GET',
      path: `${path}/:name${one}`,
      scope: 'admin',
      summary: `Show the ${what} of a provider`,
      handle: ({ params }) => jsonReply(show(viewOf(params['name'] ?? ''))),
    })),
    {
      method: 'POST',
      path: `${path}/:name/circuit-breaker/reset`,
      scope: 'admin',
      summary: 'Let calls of a provider, or of one model of it, through again',
      async handle(call) {
        const name = call.params['name'] ?? ''
        const view = viewOf(name)
        const model = modelOf(await call.body())
        const targets = view.targets.filter((target) => model === undefined || target.model === model)
        if (model !== undefined && targets.length === 0)
          throw gatewayError('not_found', `No calls of this model of "${name}" are known`)
        for (const target of targets) target.release(health.clock.monotonicMs())
        return jsonReply(view.breaker())
      },
    },
  ]
}

function modelOf(body: JsonObject): string | undefined {
  const { model, ...others } = body
  const mistakes = [
    ...Object.keys(others).map((field) => ({ path: field.slice(0, 64), message: 'is not known; known is model' })),
    ...(model === undefined || typeof model === 'string' ? [] : [{ path: 'model', message: 'must be a string' }]),
  ]
  if (mistakes.length > 0) throw invalidRequest(mistakes)
  return model as string | undefined
}

/** As many as there are: providers are few and come from the config. */
function listReply(data: readonly JsonObject[]): Reply {
  return jsonReply({
    data,
    pagination: { limit: data.length, has_more: false, next_cursor: null, prev_cursor: null },
  })
}
