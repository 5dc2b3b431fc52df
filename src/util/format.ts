/** 0.8954 as `89.5 %`; `–` for no value. */
export function percent(fraction: number | null | undefined, digits = 1): string {
  return fraction === null || fraction === undefined ? '–' : `${(100 * fraction).toFixed(digits)} %`;
}

/** [0.8367, 0.9342] as `83.7 – 93.4 %`; `–` for no value. */
export function interval(bounds: readonly [number, number] | null): string {
  return bounds ? `${bounds.map((fraction) => (100 * fraction).toFixed(1)).join(' – ')} %` : '–';
}
