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

/** `label error` as `Label error`. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A time in ISO 8601, `2026-05-01T12:30:59.123Z`, as `2026-05-01 12:30 UTC`. */
export function time(iso: string): string {
  return `${iso.slice(0, 16).replace('T', ' ')} UTC`;
}
