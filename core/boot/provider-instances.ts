import type { Clock, Logger, ProviderSummary, SafeFetch } from '../contract/plugin.ts'
import type { ProviderInstance } from '../pipeline/services.ts'
import { firstLine } from '../services/problems.ts'
import type { Problem } from '../services/problems.ts'
import type { SelectedProvider } from './config.ts'
import { configPath } from './config-path.ts'
import { withDeadline } from './deadline.ts'

/** Deadline of one provider's setup. */
const setupTimeoutMs = 30_000

/** Makes every provider instance of the config. Those that fail are problems, the others are made all the same. */
export async function setUpProviders(
  selected: readonly SelectedProvider[],
  {
    clock,
    fetch,
    logger,
  }: { readonly clock: Clock; readonly fetch: SafeFetch; readonly logger: (instance: string) => Logger },
): Promise<{ readonly instances: ReadonlyMap<string, ProviderInstance>; readonly problems: readonly Problem[] }> {
  const instances = new Map<string, ProviderInstance>()
  const problems: Problem[] = []
  for (const { instance, definition, timeouts, options } of selected) {
    const path = configPath(['providers', instance])
    try {
      const provider = await withDeadline(clock, setupTimeoutMs, () =>
        definition.setup({ instance, options, logger: logger(instance), clock, fetch }),
      )
      if (!provider || !('encode' in provider || 'send' in provider))
        throw new Error('it returned no provider, which has `encode` or `send`')
      instances.set(instance, {
        name: instance,
        type: definition.name,
        provider,
        timeouts: {
          connectMs: timeouts.connect_ms,
          firstByteMs: timeouts.first_byte_ms,
          idleMs: timeouts.idle_ms,
          totalMs: timeouts.total_ms,
        },
      })
    } catch (error) {
      problems.push({ path, message: `setup failed: ${firstLine(error)}` })
    }
  }
  return { instances, problems }
}

/** What plugins may know of the instances. */
export function providerSummaries(instances: ReadonlyMap<string, ProviderInstance>): Map<string, ProviderSummary> {
  return new Map(
    [...instances.values()].map(({ name, type, provider }) => [
      name,
      {
        name,
        type,
        ...(!provider.send && { baseUrl: provider.baseUrl }),
        ...(provider.capabilities.input && { input: provider.capabilities.input }),
        ...(provider.capabilities.webSearch && { webSearch: provider.capabilities.webSearch }),
      },
    ]),
  )
}
