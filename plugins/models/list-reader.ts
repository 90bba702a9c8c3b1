import { findProvider } from '@pydantic/genai-prices'
import type { Provider } from '@pydantic/genai-prices'
import type { FoundLists, ListedModel, WantedLists } from './model-list.ts'

/**
 * Takes what is wanted out of the data of `@pydantic/genai-prices`. Importing this module loads all of that data, which
 * costs some 10 MB that never come back: the gateway does it in a process of its own.
 */
export function readModelLists({ baseUrls, named }: WantedLists): FoundLists {
  const byInstance: Record<string, string> = {}
  const lists: Record<string, readonly ListedModel[]> = {}
  const unknown: string[] = []
  const note = (instance: string, provider: Provider): void => {
    byInstance[instance] = provider.id
    lists[provider.id] ??= listOf(provider)
  }
  for (const [instance, providerApiUrl] of Object.entries(baseUrls)) {
    const found = findProvider({ providerApiUrl })
    if (found) note(instance, found)
  }
  for (const [instance, id] of Object.entries(named)) {
    const found = findProvider({ providerId: id })
    // The package would also take names that contain one.
    if (found?.id === id) note(instance, found)
    else unknown.push(instance)
  }
  return { lists, byInstance, unknown }
}

function listOf({ models }: Provider): ListedModel[] {
  return models.flatMap(({ match, name, context_window: contextLength }) =>
    contextLength ? [{ match, contextLength, ...(name && { name }) }] : [],
  )
}
