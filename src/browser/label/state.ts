/**
 * What the page shows: the server's data, the view of them, the cursor and the selection. Events and answers of the server change
 * the data; the user changes the rest; components draw both.
 */
import { batch, computed, signal } from '@preact/signals';
import type {
  AcceptPreview,
  ClassifierState,
  ClassInfo,
  FindingsAnswer,
  LabelEvent,
  PictureId,
  Queue,
  QueueName,
  Session,
  SimilarAnswer,
} from '../../label/protocol.js';
import { certainty, NONE, type PictureFinding, Pictures } from './pictures.js';
import { findingsShown, lasting, select, settle, SIZES, START, wants, type Situation, type View } from './view.js';

type QueueGroup = Queue['groups'][number];
type SessionInfo = Pick<Session, 'port' | 'dataset' | 'manifest' | 'head' | 'model' | 'multilabel'>;

/** Pictures that are labelled or judged together. */
export interface Group {
  title: string;
  suggestion: string | undefined;
  /** Its first picture when it came: tells groups apart. */
  key: PictureId;
  /** Its place in the list of pictures. */
  start: number;
  end: number;
}

/** The pictures of the view, in order. */
export interface Shown {
  ids: Int32Array;
  /** Undefined if the view is one list. */
  groups: readonly Group[] | undefined;
  /** Why each picture is here, in words; for those for which there is something to say. */
  reasons: ReadonlyMap<PictureId, string>;
  /** Of a queue: the label to take. */
  suggestions: ReadonlyMap<PictureId, string>;
  /** Why there are none. */
  empty: string | undefined;
  isLoading: boolean;
}

interface Message {
  text: string;
  kind: 'done' | 'problem';
}

const NOTHING: Shown = {
  ids: new Int32Array(0),
  groups: undefined,
  reasons: new Map(),
  suggestions: new Map(),
  empty: undefined,
  isLoading: true,
};

// The server's.

export const session = signal<SessionInfo | undefined>(undefined);
export const classes = signal<readonly ClassInfo[]>([]);
/** By index, as labels and suggestions name them; those that were removed have their places. */
export const classNames = computed(() => classes.value.map(({ name }) => name));
/** In the order of their keys. */
export const liveClasses = computed(() =>
  classes.value.map((info, index) => ({ ...info, index })).filter(({ removed }) => !removed),
);
export const classifier = signal<ClassifierState | undefined>(undefined);
export const canUndo = signal(false);
export const canRedo = signal(false);
export const progress = signal<{ task: string; done: number; total: number } | undefined>(undefined);
/** Pictures that are left in each queue, as far as it is known. */
export const queueCounts = signal<Partial<Record<QueueName, number | null>>>({});
/** The columns are changed in place, and then wrapped anew, so that what shows them is drawn anew. */
const data = signal({
  pictures: new Pictures({
    ...{ name: [], labels: [], labelled: [], split: [], leftOut: [] },
    ...{ width: [], height: [], problem: [] },
  }),
});
/** The last change that the page has. */
export let seq = 0;
/** Which start of the server the data are from; empty before there are any. */
export let start = '';

// Of the connection.

export const connection = signal<'loading' | 'open' | 'lost' | 'refused'>('loading');
/** Actions that the server has not answered yet. */
export const waiting = signal(0);
export const message = signal<Message | undefined>(undefined);

// The user's.

export const view = signal<View>(START);
export const shown = signal<Shown>(NOTHING);
export const cursor = signal<PictureId | undefined>(undefined);
export const selection = signal<ReadonlySet<PictureId>>(new Set());
export const isLarge = signal(false);
export const size = signal(SIZES.usual);
/** The answer of `accept`, for the certainty and the class that are set. */
export const preview = signal<AcceptPreview | undefined>(undefined);
export const acceptance = signal<{ above: number; label: string | undefined }>({ above: 0.95, label: undefined });

/** Pictures that someone looks at beside the one under the cursor. */
const FEW = 6;

/** Where a selection by Shift began. */
let anchor: PictureId | undefined;
/** The place of the cursor in the list, for when its picture leaves the list. */
let cursorIndex = 0;
/** How many pictures of the list have been on the screen. */
let seen = 0;
let queue: Queue | undefined;
/** The labels that the pictures of the queue had when it came. */
const labelsBefore = new Map<PictureId, string>();
/** The last change of each picture that has changed. */
const lastChange = new Map<PictureId, number>();
/** Pictures of the queue that the user has said are right. */
const confirmed = new Set<PictureId>();
let similar: SimilarAnswer | undefined;
/** The class that `preview` is of. */
let previewedLabel: string | undefined;

export function pictures(): Pictures {
  return data.value.pictures;
}

function touch(): void {
  data.value = { pictures: pictures() };
}

export const counts = computed(() => {
  let [all, unlabelled, leftOut, unreadable] = [0, 0, 0, 0];
  for (let id = 0; id < pictures().count; id++) {
    if (pictures().isLeftOut(id)) leftOut++;
    else {
      all++;
      if (pictures().problems[id] !== null) unreadable++;
      else if (!pictures().isLabelled(id)) unlabelled++;
    }
  }
  return { all, unlabelled, leftOut, unreadable };
});

/** Pictures that would be accepted; undefined without suggestions. */
export const acceptable = computed(() => {
  if (classifier.value?.version === 0) return undefined;
  const { above, label } = acceptance.value;
  const only = label === undefined ? undefined : classNames.value.indexOf(label);
  let found = 0;
  for (let id = 0; id < pictures().count; id++) {
    if (pictures().isLabelled(id) || pictures().isLeftOut(id) || pictures().problems[id] !== null) continue;
    const best = pictures().best(id);
    if (best !== NONE && pictures().probability(id) >= above && (only === undefined || best === only)) found++;
  }
  return found;
});

export function labelNames(id: PictureId): string[] {
  return pictures()
    .labels(id)
    .map((index) => classNames.value[index] ?? '?');
}

/** The label to suggest for a picture: the queue's, or the classifier's. */
export function suggestionOf(id: PictureId): string | undefined {
  return shown.value.suggestions.get(id) ?? classNames.value[pictures().best(id)];
}

// What the server says.

/** The new number of a picture, if it is still there. */
export type Renumber = (id: PictureId) => PictureId | undefined;

/**
 * Takes over all data. The view, the cursor and the selection stay.
 * @returns how the pictures are numbered anew, if the server was started anew and they are
 */
export function takeSession(taken: Session): Renumber | undefined {
  const before = pictures().names;
  const isRestart = start !== '' && start !== taken.start;
  const isSame =
    before.length === taken.pictures.name.length && before.every((name, i) => name === taken.pictures.name[i]);
  const numbers = isRestart && !isSame ? new Map(taken.pictures.name.map((name, id) => [name, id])) : undefined;
  const renumber: Renumber | undefined = numbers && ((id) => numbers.get(before[id]!));
  batch(() => {
    const { port, dataset, manifest, head, model, multilabel } = taken;
    session.value = { port, dataset, manifest, head, model, multilabel };
    data.value = { pictures: new Pictures(taken.pictures) };
    seq = taken.seq;
    start = taken.start;
    classes.value = taken.classes;
    classifier.value = taken.classifier;
    canUndo.value = taken.canUndo;
    canRedo.value = taken.canRedo;
    if (renumber) reopen(renumber);
    selection.value = new Set([...selection.value].filter((id) => id < pictures().count));
    refresh();
  });
  return renumber;
}

/** Shows the same view of pictures that have other numbers now. */
function reopen(renumber: Renumber): void {
  const selected = [...selection.value].flatMap((id) => renumber(id) ?? []);
  const { to, cursor: at, ...rest } = situation();
  const likeTo = to === undefined ? undefined : renumber(to);
  lastChange.clear();
  restore({
    ...rest,
    ...(rest.place === 'similar' && likeTo === undefined && START),
    to: likeTo,
    cursor: at === undefined ? undefined : renumber(at),
  });
  selection.value = new Set(selected);
}

/** Takes over a change. @returns false if the page has missed one, and needs all data anew */
export function takeChange(event: Extract<LabelEvent, { kind: 'change' | 'added' }>): boolean {
  if (event.seq <= seq) return true;
  if (event.seq !== seq + 1) return false;
  batch(() => {
    seq = event.seq;
    if (event.classes) classes.value = event.classes;
    canUndo.value = event.canUndo;
    canRedo.value = event.canRedo;
    if (event.kind === 'added') pictures().add(event.pictures);
    else {
      pictures().change(event);
      for (const id of event.pictures) lastChange.set(id, seq);
    }
    touch();
    refresh();
  });
  return true;
}

export function takeSuggestions(suggestions: Parameters<Pictures['suggest']>[0]): void {
  batch(() => {
    pictures().suggest(suggestions);
    touch();
    refresh();
  });
}

export function takeFindings(found: FindingsAnswer): void {
  batch(() => {
    pictures().find(found);
    queueCounts.value = { ...queueCounts.value, ...found.left };
    touch();
    refresh();
  });
}

/** Takes over a queue. @param asked the last change that the page had when it asked: what has changed since is dealt with */
export function takeQueue(taken: Queue, asked: number): void {
  queueCounts.value = { ...queueCounts.value, [taken.name]: taken.left };
  if (view.value.place !== taken.name) return;
  const fresh = taken.groups.map((group) => part(group, (id) => (lastChange.get(id) ?? 0) <= asked));
  const next = { ...taken, groups: hasHeadings(taken.name) ? fresh : fresh.flatMap(onePictureEach) };
  queue = queue?.name === taken.name ? merge(queue, next) : next;
  for (const id of queue.groups.flatMap((group) => group.pictures)) {
    if (!labelsBefore.has(id)) labelsBefore.set(id, labelKey(id));
  }
  refresh();
}

/** Queues whose groups are judged as one. Those of the others are pictures that happen to have the same reason. */
function hasHeadings(name: QueueName): boolean {
  return name === 'clusters' || name === 'duplicates';
}

function part(group: QueueGroup, isWanted: (id: PictureId) => boolean): QueueGroup {
  const places = [...group.pictures.keys()].filter((i) => isWanted(group.pictures[i]!));
  return {
    ...group,
    pictures: places.map((i) => group.pictures[i]!),
    reasons: places.map((i) => group.reasons[i] ?? ''),
  };
}

function onePictureEach({ title, suggestion, pictures: all, reasons }: QueueGroup): QueueGroup[] {
  return all.map((id, i) => ({ title, suggestion, pictures: [id], reasons: [reasons[i] || title] }));
}

export function takeSimilar(taken: SimilarAnswer): void {
  similar = taken;
  refresh();
}

export function takePreview(taken: AcceptPreview): void {
  const before = preview.value;
  // What the user is looking at stays, as long as it would be accepted.
  const isSame = before?.above === taken.above && acceptance.value.label === previewedLabel;
  previewedLabel = acceptance.value.label;
  const acceptable = new Set(taken.groups.flatMap(({ pictures: all }) => all));
  const stay = isSame ? before.sample.filter((id) => acceptable.has(id)) : [];
  const sample = [...new Set([...stay, ...taken.sample])].slice(0, taken.sample.length);
  batch(() => {
    preview.value = { ...taken, sample };
    refresh();
  });
}

/** Puts the new groups of a queue behind those that the user has seen. */
function merge(before: Queue, next: Queue): Queue {
  const kept: QueueGroup[] = [];
  // Of what to label next, the best is what the last labels have made the best: only the next few stay.
  const end = next.name === 'next' ? Math.min(cursorIndex + (isLarge.value ? 2 : FEW), seen) : seen;
  for (const group of before.groups) {
    const open = part(group, isOpen);
    if (indexOf(open.pictures[0]) >= end) break;
    // What is done with is not shown, but a step back shows it where it was.
    kept.push(group);
  }
  const isKept = new Set(kept.flatMap((group) => group.pictures));
  const rest = next.groups.map((group) => part(group, (id) => !isKept.has(id)));
  return { ...next, groups: [...kept, ...rest.filter((group) => group.pictures.length > 0)] };
}

/** Whether a picture of the queue is still to be worked on. */
function isOpen(id: PictureId): boolean {
  if (pictures().isLeftOut(id) || confirmed.has(id)) return false;
  if (isInHand(id)) return true;
  return queue?.name === 'duplicates' || labelKey(id) === labelsBefore.get(id);
}

function labelKey(id: PictureId): string {
  return `${pictures().isLabelled(id)} ${pictures().labels(id).join()}`;
}

/** With lists of labels, a picture is not done with its first label, but when the cursor goes on. */
function isInHand(id: PictureId): boolean {
  return session.value?.multilabel === true && id === cursor.value;
}

/** Takes pictures out of the findings that are shown, as they have been confirmed. */
export function settleFindings(ids: readonly PictureId[]): void {
  for (const id of ids) confirmed.add(id);
  refresh();
}

/** Shows pictures that a step back or forth was about, and goes to the first of them that is in the view. */
export function uncover(ids: readonly PictureId[]): void {
  batch(() => {
    for (const id of ids) confirmed.delete(id);
    refresh();
    const isChanged = new Set(ids);
    const place = shown.value.ids.findIndex((id) => isChanged.has(id));
    if (place !== -1) moveTo(place);
  });
}

// What the user does.

/** Shows another view. What it shows comes from `refresh`, or from the server. */
export function show(next: View): void {
  batch(() => {
    view.value = next;
    queue = undefined;
    labelsBefore.clear();
    confirmed.clear();
    similar = undefined;
    preview.value = undefined;
    seen = 0;
    cursorIndex = 0;
    cursor.value = undefined;
    anchor = undefined;
    selection.value = new Set();
    isLarge.value = false;
    shown.value = NOTHING;
    refresh();
  });
}

export function situation(): Situation {
  return { ...view.value, cursor: cursor.value, isLarge: isLarge.value, size: size.value };
}

export function restore({ cursor: at, isLarge: large, size: pixels, ...rest }: Situation): void {
  batch(() => {
    show(rest);
    cursor.value = at;
    isLarge.value = large;
    size.value = pixels;
  });
}

/** Says how far the user has seen the list. */
export function see(end: number): void {
  seen = Math.max(seen, end);
}

export function indexOf(id: PictureId | undefined): number {
  return id === undefined ? -1 : shown.value.ids.indexOf(id);
}

/** The pictures that an action is about: the selected ones, or the one under the cursor. */
export function targets(): PictureId[] {
  const { ids } = shown.value;
  if (selection.value.size > 0) return [...ids.filter((id) => selection.value.has(id))];
  return indexOf(cursor.value) === -1 ? [] : [cursor.value!];
}

/** Moves the cursor to a place in the list. @param how `extend` selects from the anchor to there */
export function moveTo(index: number, how: 'move' | 'extend' = 'move'): void {
  const { ids } = shown.value;
  if (ids.length === 0) return;
  const place = Math.min(Math.max(index, 0), ids.length - 1);
  batch(() => {
    if (how === 'extend') {
      anchor ??= cursor.value ?? ids[place]!;
      const start = Math.max(indexOf(anchor), 0);
      selection.value = new Set(ids.subarray(Math.min(start, place), Math.max(start, place) + 1));
    } else anchor = undefined;
    placeCursor(place);
  });
}

export function setSelection(ids: Iterable<PictureId>): void {
  selection.value = new Set(ids);
}

export function toggleSelected(id: PictureId): void {
  const next = new Set(selection.value);
  if (!next.delete(id)) next.add(id);
  batch(() => {
    selection.value = next;
    placeCursor(indexOf(id));
  });
  anchor = id;
}

/** After an action: clears the selection and goes on to the next picture that it was not about. */
export function goOn(about: readonly PictureId[]): void {
  const { ids } = shown.value;
  const isDone = new Set(about);
  const last = ids.findLastIndex((id) => isDone.has(id));
  batch(() => {
    selection.value = new Set();
    anchor = undefined;
    if (last !== -1 && last + 1 < ids.length) placeCursor(last + 1);
  });
}

function placeCursor(index: number): void {
  const { ids, groups } = shown.value;
  const before = groupAt(groups, cursorIndex);
  cursorIndex = index;
  cursor.value = ids[index];
  if (session.value?.multilabel) refresh();
  const now = groupAt(groups, index);
  if (view.value.place === 'clusters' && now && now.key !== before?.key && anchor === undefined) selectGroup(now);
}

export function groupAt(groups: readonly Group[] | undefined, index: number): Group | undefined {
  return groups?.find(({ start, end }) => index >= start && index < end);
}

function selectGroup({ start, end }: Group): void {
  selection.value = new Set(shown.value.ids.subarray(start, end));
}

/** Makes the list anew, from the data and the view, with what the user has seen where it was. */
function refresh(): void {
  const isFirst = shown.value.isLoading;
  const next = list(isFirst);
  batch(() => {
    const before = groupAt(shown.value.groups, cursorIndex);
    shown.value = next;
    if (next.isLoading) return;
    const { ids, groups } = next;
    const place = indexOf(cursor.value);
    if (place === -1) {
      cursorIndex = Math.max(Math.min(cursorIndex, ids.length - 1), 0);
      cursor.value = ids[cursorIndex];
    } else cursorIndex = place;
    if (selection.value.size > 0) {
      const isShown = new Set(ids);
      const left = [...selection.value].filter((id) => isShown.has(id));
      if (left.length < selection.value.size) selection.value = new Set(left);
    }
    const now = groupAt(groups, cursorIndex);
    if (view.value.place === 'clusters' && now && (isFirst || now.key !== before?.key)) selectGroup(now);
  });
}

function list(isFirst: boolean): Shown {
  const { place, filter } = view.value;
  switch (place) {
    case 'pictures': {
      if (!session.value || (filter.finding !== undefined && !pictures().isChecked)) return NOTHING;
      const wanted = select(pictures(), classNames.value, view.value).filter((id) => !confirmed.has(id));
      const stillFits = wants(pictures(), classNames.value, lasting(filter));
      const stays = (id: PictureId) => (stillFits(id) || isInHand(id)) && !confirmed.has(id);
      const ids = isFirst ? wanted : settle(shown.value.ids, wanted, seen, stays);
      const empty =
        pictures().count === 0
          ? 'There are no pictures yet. Drop some here, or use the camera.'
          : 'No picture is like that.';
      const reasons = new Map<PictureId, string>();
      if (filter.finding !== undefined) {
        for (const id of ids) {
          const found = findingsShown(pictures(), id, filter);
          if (found.length > 0) reasons.set(id, found.map((each) => findingWords(each, filter.finding)).join('; '));
        }
      }
      return { ...NOTHING, ids, reasons, empty, isLoading: false };
    }
    case 'similar': {
      if (!similar) return NOTHING;
      const ids = Int32Array.from(similar.pictures).filter((id) => !pictures().isLeftOut(id));
      const reasons = new Map(similar.pictures.map((id, i) => [id, `cosine ${similar!.similarity[i]!.toFixed(3)}`]));
      return { ...NOTHING, ids, reasons, empty: 'No picture is like it.', isLoading: false };
    }
    case 'accept': {
      if (!preview.value) return NOTHING;
      const ids = Int32Array.from(preview.value.sample).filter(
        (id) => !pictures().isLabelled(id) && !pictures().isLeftOut(id),
      );
      return { ...NOTHING, ids, empty: 'No suggestion is as certain as that.', isLoading: false };
    }
    case 'camera':
      return { ...NOTHING, isLoading: false };
    default:
      return queue ? listOf(queue) : NOTHING;
  }
}

/** A finding in words; its kind goes without saying where all are of that kind. */
export function findingWords({ issue, detail }: PictureFinding, kind?: string): string {
  return issue === kind ? detail : `${issue}: ${detail}`;
}

/** The second most likely class, in words. The head may be another one than when the queue came, so it is that of now. */
function alternative(id: PictureId): string | undefined {
  const second = classNames.value[pictures().second(id)];
  return second === undefined ? undefined : `or ${second} ${certainty(pictures().secondProbability(id))}`;
}

/** What is left of a queue. */
function listOf({ name, groups, empty }: Queue): Shown {
  const reasons = new Map<PictureId, string>();
  const suggestions = new Map<PictureId, string>();
  const ids: PictureId[] = [];
  const found: Group[] = [];
  for (const { title, suggestion, pictures: all, reasons: why } of groups) {
    const start = ids.length;
    const open = all.filter(isOpen);
    // One of two duplicates is no duplicate.
    if (open.length === 0 || (name === 'duplicates' && open.length === 1)) continue;
    ids.push(...open);
    for (const [i, id] of all.entries()) {
      const reason = (name === 'next' ? alternative(id) : undefined) ?? why[i];
      if (reason) reasons.set(id, reason);
      if (suggestion !== undefined) suggestions.set(id, suggestion);
    }
    found.push({ title, suggestion, key: all[0]!, start, end: ids.length });
  }
  return {
    ids: Int32Array.from(ids),
    groups: hasHeadings(name) ? found : undefined,
    reasons,
    suggestions,
    empty: empty ?? 'Nothing is left here.',
    isLoading: false,
  };
}
