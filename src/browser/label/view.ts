/** Which pictures are shown, and in which order: what the user has asked for, as an object and as the address's hash. */
import { ISSUES } from '../../check/finding.js';
import { QUEUES, type PictureId, type QueueName } from '../../label/protocol.js';
import { NONE, type PictureFinding, type Pictures } from './pictures.js';

export const SORTS = ['added', 'name', 'label', 'suggestion', 'most certain', 'least certain', 'largest'] as const;
export type Sort = (typeof SORTS)[number];

export const STATES = ['any', 'labelled', 'not labelled', 'left out', 'unreadable'] as const;
export type State = (typeof STATES)[number];

export const SPLIT_CHOICES = ['train', 'val', 'test', 'none'] as const;

export const FINDING_CHOICES = ['any finding', ...ISSUES] as const;

export interface Filter {
  /** A part of the name, in any case. */
  text: string;
  state: State;
  label: string | undefined;
  split: (typeof SPLIT_CHOICES)[number] | undefined;
  suggestion: string | undefined;
  /** Only pictures whose suggestion is not among their labels. */
  differs: boolean;
  /** Certainty of the suggestion, 0 … 1. */
  from: number;
  to: number;
  /** What `check-data` finds in them. */
  finding: (typeof FINDING_CHOICES)[number] | undefined;
}

export const ALL: Filter = {
  text: '',
  state: 'any',
  label: undefined,
  split: undefined,
  suggestion: undefined,
  differs: false,
  from: 0,
  to: 1,
  finding: undefined,
};

export type Place = 'pictures' | 'similar' | 'camera' | QueueName;

export function isQueue(place: Place): place is QueueName {
  return (QUEUES as readonly Place[]).includes(place);
}

export interface View {
  place: Place;
  /** Of `similar`. */
  to: PictureId | undefined;
  /** Of `pictures`. */
  filter: Filter;
  sort: Sort;
}

export const START: View = { place: 'pictures', to: undefined, filter: ALL, sort: 'added' };

/** What else the address says. */
export interface Situation extends View {
  cursor: PictureId | undefined;
  isLarge: boolean;
  /** Of a thumbnail, in pixels. */
  size: number;
}

export const SIZES = { least: 96, most: 320, step: 16, usual: 144 };

/** Two views of the same pictures in the same order. */
export function isSameView(a: View, b: View): boolean {
  return a.place === b.place && a.to === b.to && a.sort === b.sort && isSameFilter(a.filter, b.filter);
}

export function isSameFilter(a: Filter, b: Filter): boolean {
  return (Object.keys(ALL) as (keyof Filter)[]).every((key) => a[key] === b[key]);
}

/**
 * The pictures of a filter, in order.
 * @param classes names of the classes, which labels and suggestions are indices into
 */
export function select(
  pictures: Pictures,
  classes: readonly string[],
  { filter, sort }: Pick<View, 'filter' | 'sort'>,
): Int32Array {
  const key = sortKey(pictures, sort);
  const keys = new Float64Array(pictures.count);
  let found = 0;
  const isWanted = wants(pictures, classes, filter);
  for (let id = 0; id < pictures.count; id++) {
    // The number of the picture is the rest, so that equals stay in order, and a plain sort of numbers does.
    if (isWanted(id)) keys[found++] = key(id) * MOST_PICTURES + id;
  }
  return Int32Array.from(keys.subarray(0, found).sort(), (one) => one % MOST_PICTURES);
}

const MOST_PICTURES = 2 ** 24;

/** A whole number for each picture, below 2^29. */
function sortKey(pictures: Pictures, sort: Sort): (id: PictureId) => number {
  const fine = 2 ** 24;
  switch (sort) {
    case 'added':
      return () => 0;
    case 'name':
      return (id) => pictures.rankByName(id);
    case 'label':
      return (id) => pictures.labels(id)[0] ?? NONE;
    case 'suggestion':
      return (id) => pictures.best(id);
    case 'most certain':
      return (id) => Math.round((1 - pictures.probability(id)) * fine);
    case 'least certain':
      // Those without a suggestion come last.
      return (id) => (pictures.best(id) === NONE ? 2 * fine : Math.round(pictures.probability(id) * fine));
    case 'largest':
      return (id) => 2 ** 28 - Math.min(pictures.widths[id]! * pictures.heights[id]!, 2 ** 28);
  }
}

/** Tells which pictures a filter lets through. */
export function wants(pictures: Pictures, classes: readonly string[], filter: Filter): (id: PictureId) => boolean {
  const text = filter.text.trim().toLowerCase();
  const label = filter.label === undefined ? undefined : classes.indexOf(filter.label);
  const suggestion = filter.suggestion === undefined ? undefined : classes.indexOf(filter.suggestion);
  const split = filter.split === 'none' ? null : filter.split;
  const hasRange = filter.from > 0 || filter.to < 1;
  return (id) => {
    if (pictures.isLeftOut(id) !== (filter.state === 'left out')) return false;
    const labels = pictures.labels(id);
    if (filter.state === 'labelled' && !pictures.isLabelled(id)) return false;
    if (filter.state === 'not labelled' && (pictures.isLabelled(id) || pictures.problems[id] !== null)) return false;
    if (filter.state === 'unreadable' && pictures.problems[id] === null) return false;
    if (label !== undefined && !labels.includes(label)) return false;
    if (split !== undefined && pictures.split(id) !== split) return false;
    if (text !== '' && !pictures.names[id]!.toLowerCase().includes(text)) return false;
    const best = pictures.best(id);
    if (suggestion !== undefined && best !== suggestion) return false;
    if (filter.differs && (best === NONE || labels.length === 0 || labels.includes(best))) return false;
    if (filter.finding !== undefined && findingsShown(pictures, id, filter).length === 0) return false;
    if (!hasRange) return true;
    const probability = pictures.probability(id);
    return best !== NONE && probability >= filter.from && probability <= filter.to;
  };
}

/** The findings about a picture that a filter asks for. */
export function findingsShown(
  pictures: Pictures,
  id: PictureId,
  { finding }: Pick<Filter, 'finding'>,
): readonly PictureFinding[] {
  const all = pictures.findings(id);
  return finding === 'any finding' ? all : all.filter(({ issue }) => issue === finding);
}

/** Of a filter, what does not depend on suggestions and findings, which change all the time. */
export function lasting(filter: Filter): Filter {
  return { ...filter, suggestion: undefined, differs: false, from: 0, to: 1, finding: undefined };
}

/**
 * A new order for a list that someone is looking at: what they have seen stays where it is, what comes behind is new.
 * @param seen how many of `shown` have been on the screen
 * @param stays whether a picture that was seen may stay
 */
export function settle(
  shown: Int32Array,
  wanted: Int32Array,
  seen: number,
  stays: (id: PictureId) => boolean,
): Int32Array {
  const kept = shown.subarray(0, seen).filter(stays);
  const isKept = new Set(kept);
  const rest = wanted.filter((id) => !isKept.has(id));
  const settled = new Int32Array(kept.length + rest.length);
  settled.set(kept);
  settled.set(rest, kept.length);
  return settled;
}

/** A situation as the hash of the address, such as `#view=next&size=200`; only what differs from the start. */
export function toHash({ place, to, filter, sort, cursor, isLarge, size }: Situation): string {
  const entries: [string, string | number | boolean | undefined, unknown][] = [
    ['view', place, START.place],
    ['to', to, undefined],
    ['text', filter.text, ALL.text],
    ['state', filter.state, ALL.state],
    ['label', filter.label, undefined],
    ['split', filter.split, undefined],
    ['suggestion', filter.suggestion, undefined],
    ['differs', filter.differs, false],
    ['from', filter.from, 0],
    ['to-certainty', filter.to, 1],
    ['finding', filter.finding, undefined],
    ['sort', sort, START.sort],
    ['picture', cursor, undefined],
    ['large', isLarge, false],
    ['size', size, SIZES.usual],
  ];
  const said = entries.filter(([, value, usual]) => value !== undefined && value !== usual);
  return new URLSearchParams(said.map(([key, value]): [string, string] => [key, String(value)])).toString();
}

/** What a hash says; what it does not say, or says wrongly, is as at the start. */
export function fromHash(hash: string): Situation {
  const said = new URLSearchParams(hash.replace(/^#/, ''));
  const oneOf = <T extends string>(key: string, choices: readonly T[]) =>
    choices.find((choice) => choice === said.get(key));
  const number = (key: string, least: number, most: number) => {
    const value = said.get(key);
    const found = value === null ? NaN : Number(value);
    return found >= least && found <= most ? found : undefined;
  };
  const whole = (key: string) => {
    const found = number(key, 0, MOST_PICTURES);
    return found === undefined ? undefined : Math.floor(found);
  };
  const to = whole('to');
  const place = oneOf('view', ['pictures', 'similar', 'camera', ...QUEUES]) ?? START.place;
  return {
    place: place === 'similar' && to === undefined ? START.place : place,
    to,
    filter: {
      text: said.get('text') ?? '',
      state: oneOf('state', STATES) ?? ALL.state,
      label: said.get('label') ?? undefined,
      split: oneOf('split', SPLIT_CHOICES),
      suggestion: said.get('suggestion') ?? undefined,
      differs: said.get('differs') === 'true',
      from: number('from', 0, 1) ?? 0,
      to: number('to-certainty', 0, 1) ?? 1,
      finding: oneOf('finding', FINDING_CHOICES),
    },
    sort: oneOf('sort', SORTS) ?? START.sort,
    cursor: whole('picture'),
    isLarge: said.get('large') === 'true',
    size: number('size', SIZES.least, SIZES.most) ?? SIZES.usual,
  };
}
