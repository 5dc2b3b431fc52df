import * as format from '../util/format.js';

/** As `format.percent`, with a no-break space before the sign. */
export function percent(fraction: number | null | undefined): string {
  return format.percent(fraction).replace(' %', '\u00a0%');
}

/** As `format.interval`, with a no-break space before the sign. */
export function interval(bounds: readonly [number, number] | null): string {
  return format.interval(bounds).replace(' %', '\u00a0%');
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
