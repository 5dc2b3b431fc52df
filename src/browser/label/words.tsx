/** What several views say: the name of a class, and how certain a suggestion is. */
import type { Split } from '../../data/dataset.js';
import * as state from './state.js';

/** The keys that put pictures into a split. */
export const SPLIT_KEYS: Record<Split, string> = { train: 'r', val: 'v', test: 't' };

/** Hues that can be told apart beside each other; the colour only helps, the name says it. */
const HUES = [255, 75, 150, 25, 310, 195, 110, 345, 230, 50];

/** The name of a class, with a dot in its colour. */
export function ClassName({ index }: { index: number }) {
  return (
    <span class="class">
      <Dot index={index} />
      <span class="name">{state.classNames.value[index]}</span>
    </span>
  );
}

export function Dot({ index }: { index: number }) {
  return <i class="dot" style={{ '--hue': String(HUES[index % HUES.length]!) }} />;
}

/** 0.934 as `93 %`; never `100 %` of what is not certain. */
export function certainty(probability: number): string {
  const percent = Math.round(100 * probability);
  return percent === 100 && probability < 1 ? '> 99\u00a0%' : `${percent}\u00a0%`;
}
