/** The testing kit, for authors of plugins and providers: `@hadrian/core/testing`. */

export { FakeClock } from './fake-clock.ts'
export { fakeProvider, textEvents } from './fake-provider.ts'
export type { FakeCall, FakeProvider, FakeScript } from './fake-provider.ts'
export { harness } from './harness.ts'
export type { Harness, HarnessAnswer, HarnessOptions, HarnessRequest, HarnessStream, LogLine } from './harness.ts'
export { pluginSuite } from './plugin-suite.ts'
export type { PluginSuiteOptions } from './plugin-suite.ts'
export { providerSuite } from './provider-suite.ts'
export type { ProviderSuiteOptions, RecordedAnswer, RequestCase } from './provider-suite.ts'
export { transportSuite } from './transport-suite.ts'
export type { TransportSuiteOptions } from './transport-suite.ts'
