/** 0.934 as `93 %`; never `100 %` of what is not certain. */
export function certainty(probability: number): string {
  const percent = Math.round(100 * probability);
  return percent === 100 && probability < 1 ? '> 99\u00a0%' : `${percent}\u00a0%`;
}
