/** Above the pictures: what is shown, how it is filtered, sorted and sized, and what is done with the whole data set. */
import type { ComponentChildren } from 'preact';
import { count, sentence } from '../../util/format.js';
import { open, redo, undo } from './actions.js';
import { pickFiles } from './add.js';
import { QUEUE_WORDS } from './places.js';
import * as state from './state.js';
import { dialog, isClassifierOpen, isFilterOpen, isSidebarOpen } from './ui.js';
import {
  ALL,
  FINDING_CHOICES,
  findingsShown,
  isQueue,
  isSameFilter,
  SORTS,
  SPLIT_CHOICES,
  STATES,
  type Filter,
} from './view.js';

export function Toolbar() {
  const { place, filter, sort } = state.view.value;
  const isBrowsing = place === 'pictures';
  const set = activeParts(filter).length;
  return (
    <div class="toolbar" role="toolbar" aria-label="View">
      <button
        type="button"
        class="icon only-small"
        aria-label="Views and classes"
        aria-expanded={isSidebarOpen.value}
        onClick={() => (isSidebarOpen.value = !isSidebarOpen.value)}
      >
        ☰
      </button>
      <h1>
        {title()} <span class="number">{place === 'camera' ? '' : numberShown()}</span>
      </h1>
      {isBrowsing && (
        <>
          <input
            id="search"
            type="search"
            placeholder="Search names"
            aria-label="Search names"
            value={filter.text}
            onInput={({ currentTarget }) => change({ text: currentTarget.value })}
          />
          <button
            type="button"
            aria-expanded={isFilterOpen.value}
            aria-controls="filters"
            onClick={() => (isFilterOpen.value = !isFilterOpen.value)}
          >
            Filter{set > 0 && ` (${set})`}
          </button>
          <label class="choice">
            <span class="hidden">Sort by</span>
            <select
              value={sort}
              onChange={({ currentTarget }) => open({ ...state.view.value, sort: SORTS[currentTarget.selectedIndex]! })}
            >
              {SORTS.map((one) => (
                <option key={one} value={one}>
                  {SORT_WORDS[one]}
                </option>
              ))}
            </select>
          </label>
        </>
      )}
      <span class="space" />
      <Step name="Undo" keys="u" sign="↶" can={state.canUndo.value} onClick={undo} />
      <Step name="Redo" keys="Shift+u" sign="↷" can={state.canRedo.value} onClick={redo} />
      <button type="button" title="Add pictures (a), or drop them anywhere" onClick={pickFiles}>
        Add
      </button>
      <button
        type="button"
        class="main"
        title="Write the manifest and the head (Ctrl+s)"
        onClick={() => (dialog.value = { kind: 'save' })}
      >
        Save
      </button>
      <button
        type="button"
        class="icon"
        aria-label="Classifier"
        title="Show or hide the classifier (i)"
        aria-pressed={isClassifierOpen.value}
        onClick={() => (isClassifierOpen.value = !isClassifierOpen.value)}
      >
        ◧
      </button>
      <button
        type="button"
        class="icon"
        aria-label="Help"
        title="Keys (?)"
        onClick={() => (dialog.value = { kind: 'help' })}
      >
        ?
      </button>
    </div>
  );
}

const SORT_WORDS: Record<(typeof SORTS)[number], string> = {
  added: 'As listed',
  name: 'By name',
  label: 'By label',
  suggestion: 'By suggestion',
  'most certain': 'Most certain',
  'least certain': 'Least certain',
  largest: 'Largest',
};

/** A step back or forth in what was done. */
function Step(props: { name: string; keys: string; sign: string; can: boolean; onClick: () => void }) {
  const { name, keys, sign, can, onClick } = props;
  return (
    <button type="button" class="icon" aria-label={name} title={`${name} (${keys})`} disabled={!can} onClick={onClick}>
      {sign}
    </button>
  );
}

function title(): string {
  const { place, filter, to } = state.view.value;
  if (place === 'camera') return 'Camera';
  if (place === 'similar') return `Like ${state.pictures().names[to!]?.split('/').at(-1) ?? 'this picture'}`;
  if (place !== 'pictures') return QUEUE_WORDS[place].name;
  if (filter.label !== undefined) return filter.label;
  return filter.state === 'any' ? 'All pictures' : sentence(filter.state);
}

function numberShown(): string {
  const { ids, isLoading } = state.shown.value;
  if (isLoading) return '';
  const { place } = state.view.value;
  const left = isQueue(place) ? state.queueCounts.value[place] : undefined;
  return left && left > ids.length ? `${count(ids.length)} of ${count(left)}` : count(ids.length);
}

function change(part: Partial<Filter>): void {
  open({ ...state.view.value, filter: { ...state.view.value.filter, ...part } });
}

/** The parts of a filter that are set, in words, and what takes each back. */
function activeParts(filter: Filter): { words: string; without: Partial<Filter> }[] {
  const parts: { words: string; without: Partial<Filter> }[] = [];
  const percent = (fraction: number) => `${Math.round(100 * fraction)} %`;
  if (filter.text !== '') parts.push({ words: `name has “${filter.text}”`, without: { text: '' } });
  if (filter.state !== 'any') parts.push({ words: filter.state, without: { state: 'any' } });
  if (filter.label !== undefined) parts.push({ words: `labelled ${filter.label}`, without: { label: undefined } });
  if (filter.split !== undefined) parts.push({ words: `split: ${filter.split}`, without: { split: undefined } });
  if (filter.suggestion !== undefined) {
    parts.push({ words: `suggestion: ${filter.suggestion}`, without: { suggestion: undefined } });
  }
  if (filter.differs) parts.push({ words: 'suggestion is not the label', without: { differs: false } });
  if (filter.from > 0 || filter.to < 1) {
    parts.push({ words: `certainty ${percent(filter.from)} to ${percent(filter.to)}`, without: { from: 0, to: 1 } });
  }
  if (filter.finding !== undefined) parts.push({ words: filter.finding, without: { finding: undefined } });
  return parts;
}

/** The filters, if they are open, and those that are set. */
export function Filters() {
  const { place, filter } = state.view.value;
  if (place !== 'pictures') return null;
  const names = state.liveClasses.value.map(({ name }) => name);
  const all = activeParts(filter);
  // A state or a label alone is an entry of the sidebar.
  const isEntry = all.length === 1 && (filter.state !== 'any' || filter.label !== undefined);
  const parts = isEntry && !isFilterOpen.value ? [] : all;
  return (
    <div id="filters" class={isFilterOpen.value ? 'filters open' : 'filters'}>
      {isFilterOpen.value && (
        <div class="fields">
          <Field name="State">
            <Choice value={filter.state} choices={STATES} onChoice={(state) => change({ state: state ?? 'any' })} />
          </Field>
          <Field name="Label">
            <Choice value={filter.label} any choices={names} onChoice={(label) => change({ label })} />
          </Field>
          <Field name="Suggestion">
            <Choice value={filter.suggestion} any choices={names} onChoice={(suggestion) => change({ suggestion })} />
          </Field>
          <Field name="Split">
            <Choice value={filter.split} any choices={SPLIT_CHOICES} onChoice={(split) => change({ split })} />
          </Field>
          <Field name="Finding">
            <Choice
              value={filter.finding}
              any
              choices={FINDING_CHOICES}
              words={findingWords}
              onChoice={(finding) => change({ finding })}
            />
          </Field>
          <Field name={`Certainty from ${Math.round(100 * filter.from)} %`}>
            <input
              type="range"
              min={0}
              max={100}
              value={100 * filter.from}
              onInput={({ currentTarget: { valueAsNumber: from } }) =>
                change({ from: from / 100, to: Math.max(filter.to, from / 100) })
              }
            />
          </Field>
          <Field name={`to ${Math.round(100 * filter.to)} %`}>
            <input
              type="range"
              min={0}
              max={100}
              value={100 * filter.to}
              onInput={({ currentTarget: { valueAsNumber: to } }) =>
                change({ to: to / 100, from: Math.min(filter.from, to / 100) })
              }
            />
          </Field>
          <label class="check">
            <input
              type="checkbox"
              checked={filter.differs}
              onChange={({ currentTarget }) => change({ differs: currentTarget.checked })}
            />
            Suggestion is not the label
          </label>
        </div>
      )}
      {parts.length > 0 && (
        <p class="parts">
          {parts.map(({ words, without }) => (
            <button
              key={words}
              type="button"
              class="chip"
              title="Take this filter away"
              onClick={() => change(without)}
            >
              {words} <span aria-hidden="true">×</span>
            </button>
          ))}
          {parts.length > 1 && !isSameFilter(filter, ALL) && (
            <button type="button" class="quiet" onClick={() => change(ALL)}>
              Clear
            </button>
          )}
        </p>
      )}
    </div>
  );
}

/** A kind of finding, with how many pictures have it, if that is known. */
function findingWords(finding: (typeof FINDING_CHOICES)[number]): string {
  const pictures = state.pictures();
  if (!pictures.isChecked) return finding;
  let found = 0;
  for (let id = 0; id < pictures.count; id++) {
    if (!pictures.isLeftOut(id) && findingsShown(pictures, id, { finding }).length > 0) found++;
  }
  return `${finding} (${count(found)})`;
}

function Field({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span>{name}</span>
      {children}
    </label>
  );
}

/** @param any whether there is a choice of none */
function Choice<T extends string>({
  value,
  choices,
  any = false,
  words = (choice) => choice,
  onChoice,
}: {
  value: T | undefined;
  choices: readonly T[];
  any?: boolean;
  words?: (choice: T) => string;
  onChoice: (choice: T | undefined) => void;
}) {
  const offset = any ? 1 : 0;
  return (
    <select
      value={value ?? ''}
      onChange={({ currentTarget }) => onChoice(choices[currentTarget.selectedIndex - offset])}
    >
      {any && <option value="">any</option>}
      {choices.map((choice) => (
        <option key={choice} value={choice}>
          {words(choice)}
        </option>
      ))}
    </select>
  );
}
