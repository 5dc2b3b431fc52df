/** Keeps number and sign on one line. */
const PERCENT = '\u00a0%';

/** 0.8954 as `89.5 %`; `–` where there is no value. */
export function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? '–' : `${(100 * share).toFixed(1)}${PERCENT}`;
}

/** [0.8367, 0.9342] as `83.7 – 93.4 %`; `–` where there is none. */
export function interval(bounds: readonly [number, number] | null): string {
  return bounds ? `${bounds.map((share) => (100 * share).toFixed(1)).join(' – ')}${PERCENT}` : '–';
}

/** 1234 as `1,234`. */
export function count(n: number): string {
  return n.toLocaleString('en');
}
