/** The 97.5 % point of the normal distribution. */
const Z = 1.959963984540054;

/**
 * The 95 % confidence interval of a share (Wilson 1927, "Probable inference, the law of succession, and statistical
 * inference"): unlike ± 2 standard errors it never leaves 0 … 1 and is no point where all or none are right.
 * @param successes 0 … trials
 * @returns [lower, upper]; null where there were no trials
 */
export function wilsonInterval(successes: number, trials: number): [number, number] | null {
  if (trials === 0) return null;
  const share = successes / trials;
  const centre = share + Z ** 2 / (2 * trials);
  const half = Z * Math.sqrt((share * (1 - share)) / trials + Z ** 2 / (4 * trials ** 2));
  const shrink = 1 + Z ** 2 / trials;
  return [Math.max(0, (centre - half) / shrink), Math.min(1, (centre + half) / shrink)];
}
