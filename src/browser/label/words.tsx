/** What several views say: the name of a class, and the keys of splits. */
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
