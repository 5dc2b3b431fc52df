/** The keys: what the help sheet lists is what they do. */
import * as actions from './actions.js';
import { pickFiles } from './add.js';
import { shoot, shootByNumber } from './camera-view.js';
import { layout, rowsPerScreen } from './grid.js';
import { toggleZoom, zoomBy } from './large.js';
import { below } from './layout.js';
import * as state from './state.js';
import { dialog, isClassifierOpen, isFilterOpen, isSidebarOpen } from './ui.js';
import { SPLITS } from '../../data/dataset.js';
import { QUEUES } from '../../label/protocol.js';
import { SPLIT_KEYS } from './words.js';
import { START, SIZES, type Place } from './view.js';

interface Command {
  /** As `nameOf` names them. The digits are `1` … `9`. */
  keys: readonly string[];
  does: string;
  group: 'Label' | 'Move' | 'Select' | 'Show' | 'Data set';
  run: (key: string) => void;
}

export const COMMANDS: readonly Command[] = [
  { keys: ['1 … 9'], does: 'give the class of the number', group: 'Label', run: byDigit },
  { keys: ['/', 'l'], does: 'any class, or a new one, by its name', group: 'Label', run: openLabels },
  {
    keys: ['Enter'],
    does: 'take the suggestion',
    group: 'Label',
    run: () => {
      actions.takeSuggestion();
    },
  },
  {
    keys: ['k'],
    does: 'keep it as it is: doubtful, duplicate, odd',
    group: 'Label',
    run: () => {
      actions.keep();
    },
  },
  {
    keys: ['d'],
    does: 'of duplicates, keep this one and leave out the rest',
    group: 'Label',
    run: () => {
      actions.keepOne();
    },
  },
  { keys: ['0', 'Delete', 'Backspace'], does: 'take the label away', group: 'Label', run: noLabel },
  {
    keys: ['x'],
    does: 'leave out of the data set, or take back in',
    group: 'Label',
    run: () => {
      actions.leaveOut();
    },
  },
  {
    keys: Object.values(SPLIT_KEYS),
    does: 'into the training, validation or test split, or out of it',
    group: 'Label',
    run: bySplit,
  },
  { keys: ['u', 'Ctrl+z'], does: 'undo, without limit', group: 'Label', run: actions.undo },
  { keys: ['Shift+u', 'Ctrl+Shift+z', 'Ctrl+y'], does: 'redo', group: 'Label', run: actions.redo },
  { keys: ['ArrowLeft', 'ArrowRight'], does: 'picture before, next picture', group: 'Move', run: byArrow },
  { keys: ['ArrowUp', 'ArrowDown'], does: 'row above, row below', group: 'Move', run: byArrow },
  { keys: ['PageUp', 'PageDown'], does: 'a screen up, a screen down', group: 'Move', run: byArrow },
  { keys: ['Home', 'End'], does: 'first picture, last picture', group: 'Move', run: byArrow },
  { keys: ['[', ']'], does: 'view before, next view', group: 'Move', run: byView },
  {
    keys: [
      ...['Shift+ArrowLeft', 'Shift+ArrowRight', 'Shift+ArrowUp', 'Shift+ArrowDown'],
      ...['Shift+PageUp', 'Shift+PageDown', 'Shift+Home', 'Shift+End'],
    ],
    does: 'select from here to there',
    group: 'Select',
    run: byArrow,
  },
  { keys: ['s', 'Ctrl+ '], does: 'select this one, or not', group: 'Select', run: toggle },
  { keys: ['Ctrl+a'], does: 'select all of the view', group: 'Select', run: actions.selectAll },
  { keys: ['Escape'], does: 'back: close what is open, select nothing', group: 'Select', run: escape },
  {
    keys: [' '],
    does: 'large, or back to the grid',
    group: 'Show',
    run: () => {
      if (state.cursor.value !== undefined) state.isLarge.value = !state.isLarge.value;
    },
  },
  { keys: ['+', '-'], does: 'larger, smaller; zoom in the large view', group: 'Show', run: bySize },
  {
    keys: ['z'],
    does: 'zoom in and out of the large view',
    group: 'Show',
    run: () => {
      if (state.isLarge.value) toggleZoom();
    },
  },
  { keys: ['m'], does: 'more like this one', group: 'Show', run: actions.openSimilar },
  {
    keys: ['f'],
    does: 'search names, and filter',
    group: 'Show',
    run: () => {
      if (state.view.value.place !== 'pictures') actions.openPictures();
      isFilterOpen.value = true;
      const focus = () => document.getElementById('search')?.focus();
      // At once if it is there: the next key is for it.
      if (document.getElementById('search')) focus();
      else requestAnimationFrame(focus);
    },
  },
  {
    keys: ['i'],
    does: 'show or hide the classifier',
    group: 'Show',
    run: () => {
      isClassifierOpen.value = !isClassifierOpen.value;
    },
  },
  {
    keys: ['?'],
    does: 'this sheet',
    group: 'Show',
    run: () => {
      dialog.value = { kind: 'help' };
    },
  },
  {
    keys: ['n'],
    does: 'new class',
    group: 'Data set',
    run: () => {
      dialog.value = { kind: 'new class' };
    },
  },
  { keys: ['a'], does: 'add pictures', group: 'Data set', run: pickFiles },
  {
    keys: ['c'],
    does: 'camera',
    group: 'Data set',
    run: () => {
      actions.open({ ...START, place: 'camera' });
    },
  },
  {
    keys: ['Ctrl+s'],
    does: 'save the manifest and the head',
    group: 'Data set',
    run: () => {
      dialog.value = { kind: 'save' };
    },
  },
];

const BY_KEY = new Map(COMMANDS.flatMap((command) => command.keys.map((key) => [key, command])));
for (let digit = 1; digit <= 9; digit++) BY_KEY.set(String(digit), COMMANDS[0]!);

export function listenForKeys(): void {
  document.addEventListener('keydown', (event) => {
    if (dialog.value || event.altKey || event.isComposing || takesKey(event)) return;
    const key = nameOf(event);
    const command = BY_KEY.get(key);
    if (!command) return;
    event.preventDefault();
    command.run(key);
  });
}

/** A click on a button leaves the keyboard with the pictures, so that Enter does not press the button again. */
export function keepFocus(): void {
  document.addEventListener('mousedown', (event) => {
    if (event.target instanceof Element && event.target.closest('main button, nav button, aside button')) {
      event.preventDefault();
    }
  });
}

/** Whether the key is for what has the focus: text, a button that it presses, or the pictures taken, which it scrolls. */
function takesKey({ target, key }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (key === 'Escape') {
    // Back from the search to the pictures.
    if (target instanceof HTMLInputElement) document.getElementById('grid')?.focus();
    return target instanceof HTMLInputElement;
  }
  if (target.matches('input:not([type="checkbox"]), select, textarea')) return true;
  if (target.matches('.shots') && /^(Arrow|Page|Home$|End$)/.test(key)) return true;
  return target.matches('button, input') && (key === 'Enter' || key === ' ');
}

/** `Ctrl+Shift+z` of an event. Signs and digits are what they are, with Shift or without. */
function nameOf({ key, code, ctrlKey, metaKey, shiftKey }: KeyboardEvent): string {
  const isCommand = ctrlKey || metaKey;
  // Some keyboards have the digits on Shift.
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(code)?.[1];
  if (digit !== undefined && !isCommand && (!shiftKey || /^[0-9]$/.test(key))) return /^[0-9]$/.test(key) ? key : digit;
  const isLetter = /^\p{L}$/u.test(key);
  const shift = shiftKey && (isLetter || key.length > 1) ? 'Shift+' : '';
  const name = key === '=' ? '+' : key === '_' ? '-' : isLetter ? key.toLowerCase() : key;
  return `${isCommand ? 'Ctrl+' : ''}${shift}${name}`;
}

/** Keys as the help sheet shows them. */
export function keyWords(keys: readonly string[]): string[] {
  if (keys.length > 4) return ['Shift + arrows, Page, Home, End'];
  const words: Record<string, string> = {
    ...{ ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', ' ': 'Space', Escape: 'Esc', '-': '−' },
    ...{ PageUp: 'Page ↑', PageDown: 'Page ↓' },
  };
  return keys.map((key) =>
    key === '+'
      ? key
      : key
          .split('+')
          .map((part) => words[part] ?? part)
          .join(' + '),
  );
}

function byDigit(key: string): void {
  const index = Number(key) - 1;
  if (state.view.value.place === 'camera') shootByNumber(index);
  else actions.labelByNumber(index);
}

function bySplit(key: string): void {
  actions.toSplit(SPLITS.find((split) => SPLIT_KEYS[split] === key)!);
}

function noLabel(): void {
  if (state.view.value.place === 'camera') void shoot(undefined);
  else actions.unlabel();
}

function openLabels(): void {
  if (state.targets().length > 0) dialog.value = { kind: 'label' };
}

function byArrow(name: string): void {
  const isExtending = name.startsWith('Shift+');
  const key = name.replace('Shift+', '');
  const { ids } = state.shown.value;
  const at = Math.max(state.indexOf(state.cursor.value), 0);
  // One large picture has no rows.
  const rows = (by: number) => (state.isLarge.value ? at + Math.sign(by) : below(layout.value, at, by));
  const places: Record<string, number> = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: rows(-1),
    ArrowDown: rows(1),
    PageUp: rows(-rowsPerScreen.value),
    PageDown: rows(rowsPerScreen.value),
    Home: 0,
    End: ids.length - 1,
  };
  state.moveTo(places[key]!, isExtending ? 'extend' : 'move');
}

const PLACES: readonly Place[] = ['pictures', ...QUEUES, 'camera'];

function byView(key: string): void {
  const at = PLACES.indexOf(state.view.value.place) + (key === ']' ? 1 : -1);
  actions.open({ ...START, place: PLACES[(at + PLACES.length) % PLACES.length]! });
}

function toggle(): void {
  if (state.indexOf(state.cursor.value) !== -1) state.toggleSelected(state.cursor.value!);
}

function bySize(key: string): void {
  const by = key === '+' ? 1 : -1;
  if (state.isLarge.value) zoomBy(by);
  else state.size.value = Math.min(Math.max(state.size.value + by * 2 * SIZES.step, SIZES.least), SIZES.most);
}

function escape(): void {
  if (isSidebarOpen.value) isSidebarOpen.value = false;
  else if (state.isLarge.value) state.isLarge.value = false;
  else if (state.selection.value.size > 0) state.setSelection([]);
  else isFilterOpen.value = false;
}
