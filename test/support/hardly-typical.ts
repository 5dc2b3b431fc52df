import type { Head } from '../../src/head/head.js';
import type { UnknownRate } from '../../src/head/unknown.js';

/**
 * The same head, but as if of ten right predictions of its training one had been less typical than any picture can be, and nine
 * more so: every picture has the typicality 0.1.
 */
export function hardlyTypical(head: Head, rate: UnknownRate = 0.05): Head {
  const scores = [-9, ...Array<number>(9).fill(2)];
  return head.with({ unknown: head.unknown && { ...head.unknown, rate, typical: { count: 10, scores } } });
}
