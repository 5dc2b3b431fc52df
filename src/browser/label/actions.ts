/** What a person does, as actions for the server and moves of the cursor. */
import type { Issue } from '../../check/finding.js';
import type { Split } from '../../data/dataset.js';
import type { FindingQueue, PictureId } from '../../label/protocol.js';
import * as server from './server.js';
import * as state from './state.js';
import { ALL, isSameView, START, type View } from './view.js';

/** Opens a view; that of the address's hash, too. */
export function open(view: View): void {
  if (isSameView(view, state.view.value) && !state.isLarge.value) return;
  state.show(view);
  void server.load();
}

export function openPictures(filter: Partial<View['filter']> = {}): void {
  open({ ...START, filter: { ...ALL, ...filter }, sort: state.view.value.sort });
}

export function openSimilar(): void {
  const id = state.cursor.value;
  if (id !== undefined) open({ ...START, place: 'similar', to: id });
}

/** Gives the pictures a label. With lists of labels, takes it away if all of them have it. */
export function label(name: string, about = state.targets()): void {
  if (about.length === 0) return;
  if (state.session.value?.multilabel) {
    const on = !about.every((id) => state.labelNames(id).includes(name));
    void server.act({ kind: 'toggle', pictures: about, label: name, on });
    return;
  }
  void server.act({ kind: 'label', pictures: about, label: name });
  state.goOn(about);
}

/** Gives the pictures the class of a key; 0 is the first. */
export function labelByNumber(index: number): void {
  const found = state.liveClasses.value[index];
  if (found) label(found.name);
  else server.complain(`There is no class ${index + 1}. Press n to make one.`);
}

export function unlabel(): void {
  const about = state.targets();
  if (about.length === 0) return;
  void server.act({ kind: 'label', pictures: about, label: null });
  state.goOn(about);
}

/** Leaves the pictures out, or takes them back in if all of them are left out. */
export function leaveOut(about = state.targets()): void {
  if (about.length === 0) return;
  const out = !about.every((id) => state.pictures().isLeftOut(id));
  void server.act({ kind: 'leave-out', pictures: about, out });
  state.goOn(about);
}

/** Puts the pictures into a split, or takes them out of it if all of them are there. */
export function toSplit(split: Split, about = state.targets()): void {
  if (about.length === 0) return;
  const isThere = about.every((id) => state.pictures().split(id) === split);
  void server.act({ kind: 'split', pictures: about, split: isThere ? null : split });
}

/** Gives each picture the label that is suggested for it. */
export function takeSuggestion(about = state.targets()): void {
  const byLabel = new Map<string, PictureId[]>();
  for (const id of about) {
    const suggestion = state.suggestionOf(id);
    if (suggestion !== undefined) byLabel.set(suggestion, [...(byLabel.get(suggestion) ?? []), id]);
  }
  if (byLabel.size === 0) {
    if (about.length > 0) server.complain('There is no suggestion yet.');
    return;
  }
  for (const [name, pictures] of byLabel) {
    void server.act(
      state.session.value?.multilabel
        ? { kind: 'toggle', pictures, label: name, on: true }
        : { kind: 'label', pictures, label: name },
    );
  }
  state.goOn(about);
}

/**
 * Says that pictures are right as they are: those selected, or the one under the cursor; all of a set of duplicates. With lists of
 * labels, a picture of any view may have none of them.
 */
export function keep(about = targetsOrGroup()): void {
  if (about.length === 0 || !canKeep()) return;
  const { place } = state.view.value;
  state.goOn(about);
  void server.act({ kind: 'confirm', pictures: about, queue: queueOfView() ?? 'next' }).then((done) => {
    if (done !== undefined && queueOfView() !== undefined && state.view.value.place === place)
      state.settleFindings(about);
  });
}

export function canKeep(): boolean {
  return queueOfView() !== undefined || state.session.value?.multilabel === true;
}

/** The queue whose findings the view shows: those of its pictures may be right as they are. */
export function queueOfView(): FindingQueue | undefined {
  const { place, filter } = state.view.value;
  if (place === 'doubtful' || place === 'duplicates' || place === 'odd') return place;
  const shown = place === 'pictures' ? filter.finding : undefined;
  return shown === undefined || shown === 'any finding' ? undefined : QUEUE_OF[shown];
}

const QUEUE_OF: Record<Issue, FindingQueue> = {
  leak: 'duplicates',
  'conflicting labels': 'duplicates',
  'label error': 'doubtful',
  'exact duplicate': 'duplicates',
  'near duplicate': 'duplicates',
  unreadable: 'odd',
  empty: 'odd',
  outlier: 'odd',
  tiny: 'odd',
  grey: 'odd',
};

/** Of duplicates, keeps the picture under the cursor, or else the first, and leaves out the rest. */
export function keepOne(group = groupOfCursor()): void {
  if (state.view.value.place !== 'duplicates' || !group) return;
  const ids = state.shown.value.ids.subarray(group.start, group.end);
  const kept = group === groupOfCursor() ? state.cursor.value : ids[0];
  state.goOn([...ids]);
  void server.act({ kind: 'leave-out', pictures: [...ids.filter((id) => id !== kept)], out: true });
}

function groupOfCursor(): state.Group | undefined {
  return state.groupAt(state.shown.value.groups, state.indexOf(state.cursor.value));
}

function targetsOrGroup(): PictureId[] {
  const group = state.view.value.place === 'duplicates' ? groupOfCursor() : undefined;
  if (state.selection.value.size > 0 || !group) return state.targets();
  return [...state.shown.value.ids.subarray(group.start, group.end)];
}

/** Accepts all suggestions of the preview, class by class. */
export async function accept(): Promise<void> {
  const found = state.preview.value;
  if (!found || found.count === 0) return;
  for (const { label: name, pictures } of found.groups) {
    await server.act(
      state.session.value?.multilabel
        ? { kind: 'toggle', pictures, label: name, on: true }
        : { kind: 'label', pictures, label: name },
    );
  }
}

export function undo(): void {
  if (state.canUndo.value || state.waiting.value > 0) void server.act({ kind: 'undo' });
  else server.say('There is nothing to undo.');
}

export function redo(): void {
  if (state.canRedo.value || state.waiting.value > 0) void server.act({ kind: 'redo' });
  else server.say('There is nothing to redo.');
}

export function selectAll(): void {
  state.setSelection(state.shown.value.ids);
}

export function addClass(name: string): Promise<string | undefined> {
  return server.act({ kind: 'add-class', name });
}

export function renameClass(name: string, to: string): Promise<string | undefined> {
  return server.act({ kind: 'rename-class', name, to });
}

export function removeClass(name: string): void {
  void server.act({ kind: 'remove-class', name });
}
