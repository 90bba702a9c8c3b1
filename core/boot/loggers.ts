import type { Logger } from '../contract/plugin.ts'
import type { RootLogger } from '../services/logger.ts'

/** A logger that adds fields to each line, also where the logger it is made of cannot make children. */
export function childLogger(logger: Logger, bindings: object): Logger {
  if ('child' in logger && typeof logger.child === 'function') return (logger as RootLogger).child(bindings)
  return {
    debug: (fields, message) => logger.debug({ ...bindings, ...fields }, message),
    info: (fields, message) => logger.info({ ...bindings, ...fields }, message),
    warn: (fields, message) => logger.warn({ ...bindings, ...fields }, message),
    error: (fields, message) => logger.error({ ...bindings, ...fields }, message),
  }
}
