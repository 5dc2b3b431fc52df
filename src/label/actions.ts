import { type Split, SPLITS, labelText } from '../data/dataset.js';
import { HttpError } from '../server/errors.js';
import { quantity } from '../util/format.js';
import { type Action, type ActionBody, type QueueName, QUEUES } from './protocol.js';
import type { Change, ClassChange, LabelState, PictureValue, Step } from './state.js';
import { isObject } from '../util/json.js';

/** An action that makes a step, as opposed to undo and redo. */
export type StepAction = Exclude<Action, { kind: 'undo' | 'redo' }>;

/** Characters. */
const LONGEST_ID = 100;
const LONGEST_NAME = 200;

/**
 * What an action does, as a step that is not taken yet.
 * @throws {HttpError} 409 if it cannot be done, such as renaming a class that is not there
 */
export function stepOf(state: LabelState, action: StepAction, id: string): Step {
  const { kind } = action;
  switch (kind) {
    case 'label':
      return labelStep(state, action, id);
    case 'toggle':
      return toggleStep(state, action, id);
    case 'leave-out': {
      const done = `${counted(action.pictures)} ${action.out ? 'left out' : 'taken back in'}`;
      return state.step({ id, kind, done }, changes(state, action.pictures, { leftOut: action.out }));
    }
    case 'split': {
      const done = `${counted(action.pictures)} ${action.split === null ? 'in no split' : `moved to ${action.split}`}`;
      return state.step({ id, kind, done }, changes(state, action.pictures, { split: action.split }));
    }
    case 'confirm':
      return confirmStep(state, action, id);
    case 'add-class': {
      const name = newName(action.name);
      if (state.indexOf(name) !== undefined) throw conflict(`There is a class ${JSON.stringify(name)} already.`);
      return state.step({ id, kind, done: `class ${name} added` }, [], [addition(state, name)]);
    }
    case 'rename-class':
      return renameStep(state, action, id);
    case 'remove-class': {
      const index = existing(state, action.name);
      const done = `class ${action.name} removed`;
      return state.step({ id, kind, done }, replacing(state, index, undefined), [removal(state, index)]);
    }
  }
}

function labelStep(state: LabelState, { pictures, label }: StepAction & { kind: 'label' }, id: string): Step {
  if (label === null) {
    const set = { labels: [], labelled: false, confirmed: [] };
    const done = `${counted(pictures)} without a label`;
    return state.step({ id, kind: 'label', done }, changes(state, pictures, set));
  }
  const { index, added } = wanted(state, label);
  const set = { labels: [index], labelled: true, confirmed: [] };
  const done = `${counted(pictures)} labelled ${label}`;
  return state.step({ id, kind: 'label', done }, changes(state, pictures, set), added);
}

function toggleStep(state: LabelState, { pictures, label, on }: StepAction & { kind: 'toggle' }, id: string): Step {
  if (!state.multilabel) {
    throw conflict(
      'A picture of this data set has one label. To switch labels on and off, start it with --multilabel.',
    );
  }
  const { index, added } = on ? wanted(state, label) : { index: existing(state, label), added: [] };
  const toggled = function* (): Generator<Change> {
    for (const picture of pictures) {
      const value = state.value(picture);
      const others = value.labels.filter((n) => n !== index);
      const labels = on ? [...others, index].sort((a, b) => a - b) : others;
      yield [picture, { ...value, labels, labelled: true, confirmed: [] }];
    }
  };
  const done = `label ${label} ${on ? 'added to' : 'taken from'} ${counted(pictures)}`;
  return state.step({ id, kind: 'toggle', done }, toggled(), added);
}

function confirmStep(state: LabelState, { pictures, queue }: StepAction & { kind: 'confirm' }, id: string): Step {
  const confirmed = function* (): Generator<Change> {
    for (const picture of pictures) {
      const value = state.value(picture);
      const settled = [...new Set<QueueName>([...value.confirmed, queue])].sort();
      yield [picture, { ...value, confirmed: settled, labelled: value.labelled || state.multilabel }];
    }
  };
  return state.step({ id, kind: 'confirm', done: `${counted(pictures)} confirmed` }, confirmed());
}

function renameStep(state: LabelState, { name, to }: StepAction & { kind: 'rename-class' }, id: string): Step {
  const index = existing(state, name);
  const after = newName(to);
  if (after === name) throw conflict(`The class is named ${JSON.stringify(name)} already.`);
  const other = state.indexOf(after);
  const kind = 'rename-class';
  if (other !== undefined) {
    const done = `class ${name} merged into ${after}`;
    return state.step({ id, kind, done }, replacing(state, index, other), [removal(state, index)]);
  }
  const change = { index, before: state.classes[index]!, after: { name: after, removed: false } };
  return state.step({ id, kind, done: `class ${name} renamed to ${after}` }, [], [change]);
}

/** The pictures with a part of their values replaced. */
function* changes(state: LabelState, pictures: Iterable<number>, set: Partial<PictureValue>): Generator<Change> {
  for (const picture of pictures) {
    const value = state.value(picture);
    // Saying again what was said confirms nothing, and does not take a confirmation back.
    const isSame =
      set.labels !== undefined && set.labelled === value.labelled && set.labels.join() === value.labels.join();
    yield [picture, isSame ? value : { ...value, ...set }];
  }
}

/** All pictures of a class with another class in its place, or with none. */
function* replacing(state: LabelState, index: number, by: number | undefined): Generator<Change> {
  for (let picture = 0; picture < state.size; picture++) {
    const value = state.value(picture);
    if (!value.labels.includes(index)) continue;
    const others = value.labels.filter((n) => n !== index);
    const labels = by === undefined ? others : [...new Set([...others, by])].sort((a, b) => a - b);
    const labelled = value.labelled && (state.multilabel || labels.length > 0);
    yield [picture, { ...value, labels, labelled, confirmed: [] }];
  }
}

/** A class to label with, and how it comes to be if there is none. */
function wanted(state: LabelState, label: string): { index: number; added: ClassChange[] } {
  const name = newName(label);
  const index = state.indexOf(name);
  if (index !== undefined) return { index, added: [] };
  const added = addition(state, name);
  return { index: added.index, added: [added] };
}

/** A class that was removed takes its old place again. */
export function addition(state: LabelState, name: string): ClassChange {
  const earlier = state.classes.findIndex((each) => each.name === name && each.removed);
  const index = earlier < 0 ? state.classes.length : earlier;
  return { index, before: { name, removed: true }, after: { name, removed: false } };
}

function removal(state: LabelState, index: number): ClassChange {
  const before = state.classes[index]!;
  return { index, before, after: { ...before, removed: true } };
}

function existing(state: LabelState, name: string): number {
  const index = state.indexOf(name);
  if (index === undefined) throw conflict(`There is no class ${JSON.stringify(name)}.`);
  return index;
}

function conflict(message: string): HttpError {
  return new HttpError(409, 'conflict', message);
}

function counted(pictures: { length: number }): string {
  return quantity(pictures.length, 'picture');
}

/**
 * The name of a class, as a manifest can hold it.
 * @throws {HttpError} 400 if it cannot
 */
export function newName(text: string): string {
  const name = labelText(text);
  const problem = name === undefined ? 'it is empty' : problemOf(name);
  if (name !== undefined && problem === undefined) return name;
  throw new HttpError(400, 'bad_name', `${JSON.stringify(text)} cannot be the name of a class: ${problem!}.`);
}

/** Why a label cannot be written to a manifest, or be shown; undefined if it can. */
export function problemOf(name: string): string | undefined {
  if (name.length > LONGEST_NAME) return `it is longer than ${LONGEST_NAME} characters`;
  if (/\p{Cc}/u.test(name)) return 'it holds a control character';
  if (/^\[.*\]$/.test(name)) return 'a manifest would take it for a list';
  return undefined;
}

/**
 * An action as a client sent it.
 * @param size how many pictures there are
 * @throws {HttpError} 400 if it is none
 */
export function parseAction(body: unknown, size: number): ActionBody {
  if (!isObject(body) || !isObject(body['action'])) throw malformed('is {"id": …, "action": {…}}');
  const { id, action } = body as { id: unknown; action: Record<string, unknown> };
  if (typeof id !== 'string' || id === '' || id.length > LONGEST_ID) {
    throw malformed(`has an id: text of 1 to ${LONGEST_ID} characters`);
  }
  const fields = FIELDS[action['kind'] as Action['kind']] as Record<string, Check> | undefined;
  if (!fields || !Object.hasOwn(FIELDS, String(action['kind']))) {
    throw malformed(`is of one of the kinds ${Object.keys(FIELDS).join(', ')}`);
  }
  const parsed: Record<string, unknown> = { kind: action['kind'] };
  for (const [name, [isRight, what]] of Object.entries(fields)) {
    if (!isRight(action[name], size)) throw malformed(`of the kind ${String(action['kind'])} has ${name}: ${what}`);
    parsed[name] = action[name];
  }
  return { id, action: parsed as unknown as Action };
}

type Check = readonly [isRight: (value: unknown, size: number) => boolean, what: string];

const PICTURES: Check = [
  (value, size) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((id) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < size) &&
    new Set(value).size === value.length,
  'a list of the numbers of pictures, each once',
];
const TEXT: Check = [(value) => typeof value === 'string', 'text'];
const FLAG: Check = [(value) => typeof value === 'boolean', 'true or false'];

const FIELDS: Record<Action['kind'], Record<string, Check>> = {
  label: { pictures: PICTURES, label: [(value) => value === null || typeof value === 'string', 'text or null'] },
  toggle: { pictures: PICTURES, label: TEXT, on: FLAG },
  'leave-out': { pictures: PICTURES, out: FLAG },
  split: {
    pictures: PICTURES,
    split: [(value) => value === null || SPLITS.includes(value as Split), `${SPLITS.join(', ')} or null`],
  },
  confirm: {
    pictures: PICTURES,
    queue: [(value) => QUEUES.includes(value as QueueName), `one of ${QUEUES.join(', ')}`],
  },
  'add-class': { name: TEXT },
  'rename-class': { name: TEXT, to: TEXT },
  'remove-class': { name: TEXT },
  undo: {},
  redo: {},
};

function malformed(what: string): HttpError {
  return new HttpError(400, 'bad_action', `An action ${what}.`);
}
