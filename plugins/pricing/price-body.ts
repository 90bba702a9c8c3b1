import { invalidRequest, priceFields, pricesBody, readPrices } from '@hadrian/core/plugin'
import type { JsonObject, RequestMistake } from '@hadrian/core/plugin'
import type { PriceEntry, PriceRecord } from './price-table.ts'

const fields = ['provider', 'model', ...priceFields]
const mostCharacters = 512

/**
 * Reads the body that creates or replaces an entry.
 *
 * @param instances names of the provider instances there are
 * @throws GatewayError `invalid_request_error` with every mistake
 */
export function readEntry(body: JsonObject, instances: readonly string[]): PriceEntry {
  const mistakes: RequestMistake[] = []
  const wrong = (mistake: RequestMistake): void => void mistakes.push(mistake)
  for (const field of Object.keys(body))
    if (!fields.includes(field))
      wrong({ path: field.slice(0, 64), message: `is not known; known are ${fields.join(', ')}` })
  const { provider, model } = body
  if (typeof provider !== 'string' || !instances.includes(provider))
    wrong({ path: 'provider', message: `must be the name of a provider: ${instances.join(', ')}` })
  const isName = typeof model === 'string' && model !== '' && model.length <= mostCharacters
  // The database has no NUL.
  if (!isName || model.includes('\0'))
    wrong({ path: 'model', message: `must be the name of a model, of at most ${mostCharacters} characters` })
  else if (model.slice(0, -1).includes('*')) wrong({ path: 'model', message: 'may have an asterisk at its end only' })
  const prices = readPrices(body, '', wrong)
  if (mistakes.length > 0 || !prices) throw invalidRequest(mistakes)
  return { provider: provider as string, model: model as string, prices }
}

/** An entry as the admin API shows it: every price, null where it has none of its own. */
export function recordBody({ id, provider, model, prices, createdAt, updatedAt }: PriceRecord): JsonObject {
  const absent = Object.fromEntries(priceFields.map((field) => [field, null]))
  return { id, provider, model, ...absent, ...pricesBody(prices), created_at: createdAt, updated_at: updatedAt }
}
