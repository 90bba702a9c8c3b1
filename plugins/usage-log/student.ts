/** Two-sided 95 % quantiles of Student's t distribution for 1 to 10 degrees of freedom (any table of statistics). */
const few = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281]
/** The same of the normal distribution. */
const z = 1.959964

/**
 * How many standard errors 95 % of what is to come lies within, when the error was estimated with so many degrees of
 * freedom. Above ten by the expansion of Cornish and Fisher, which is right to three digits there.
 */
export function quantile95(degreesOfFreedom: number): number {
  const exact = few[degreesOfFreedom - 1]
  if (exact !== undefined) return exact
  const first = (z ** 3 + z) / 4
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96
  const third = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384
  return z + first / degreesOfFreedom + second / degreesOfFreedom ** 2 + third / degreesOfFreedom ** 3
}
