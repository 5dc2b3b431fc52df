/** Below the pictures: the classes to give to what is selected, for mouse and touch, and what was done last. */
import { SPLITS } from '../../data/dataset.js';
import type { PictureId } from '../../label/protocol.js';
import { count, quantity } from '../../util/format.js';
import {
  canKeep,
  keep,
  keepOne,
  label,
  leaveOut,
  openSimilar,
  queueOfView,
  takeSuggestion,
  toSplit,
  unlabel,
} from './actions.js';
import { Dot, SPLIT_KEYS } from './words.js';
import * as state from './state.js';
import { dialog } from './ui.js';
import { SIZES } from './view.js';

export function LabelBar() {
  const { place } = state.view.value;
  if (place === 'camera') return null;
  const about = state.targets();
  const isSelection = state.selection.value.size > 0;
  const isNone = about.length === 0;
  const suggestions = new Set(about.map(state.suggestionOf));
  const [suggestion] = suggestions;
  const labels = isNone
    ? []
    : state.labelNames(about[0]!).filter((name) => about.every((id) => state.labelNames(id).includes(name)));
  return (
    <div class="label-bar" role="toolbar" aria-label="Label">
      <p class="about">
        {isSelection ? `${count(about.length)} selected` : isNone ? 'Nothing selected' : '1 picture'}
        {isSelection && (
          <button type="button" class="quiet" onClick={() => state.setSelection([])}>
            Clear
          </button>
        )}
      </p>
      <div class="chips">
        <button
          type="button"
          class="chip"
          disabled={isNone || suggestion === undefined}
          onClick={() => takeSuggestion()}
        >
          <kbd>⏎</kbd>
          <span class="name">
            {suggestions.size === 1 && suggestion !== undefined ? `Take ${suggestion}` : 'Take suggestion'}
          </span>
        </button>
        {canKeep() && (
          <button type="button" class="chip" disabled={isNone} onClick={() => keep()}>
            <kbd>k</kbd> {keepWord()}
          </button>
        )}
        {place === 'duplicates' && (
          <button type="button" class="chip" disabled={isNone} onClick={() => keepOne()}>
            <kbd>d</kbd> Keep one
          </button>
        )}
        <button type="button" class="chip" disabled={isNone} onClick={() => unlabel()}>
          <kbd>0</kbd> No label
        </button>
        <button type="button" class="chip" disabled={isNone} onClick={() => leaveOut()}>
          <kbd>x</kbd>{' '}
          {about.length > 0 && about.every((id) => state.pictures().isLeftOut(id)) ? 'Take back in' : 'Leave out'}
        </button>
        <Splits about={about} />
        <button type="button" class="chip" title="More like this one" disabled={isNone} onClick={openSimilar}>
          <kbd>m</kbd> Like this
        </button>
      </div>
      <div class="chips classes">
        {state.liveClasses.value.map(({ name, index }, place) => (
          <button
            key={index}
            type="button"
            class="chip"
            aria-pressed={labels.includes(name)}
            disabled={isNone}
            onClick={() => label(name)}
          >
            {place < 9 && <kbd>{place + 1}</kbd>}
            <Dot index={index} />
            <span class="name">{name}</span>
          </button>
        ))}
        <button type="button" class="chip quiet" disabled={isNone} onClick={() => (dialog.value = { kind: 'label' })}>
          <kbd>/</kbd> Other …
        </button>
      </div>
    </div>
  );
}

function Splits({ about }: { about: readonly PictureId[] }) {
  return (
    <span class="splits" role="group" aria-label="Split">
      {SPLITS.map((split) => (
        <button
          key={split}
          type="button"
          class="chip"
          title={`Into the split ${split}, or out of it`}
          aria-pressed={about.length > 0 && about.every((id) => state.pictures().split(id) === split)}
          disabled={about.length === 0}
          onClick={() => toSplit(split)}
        >
          <kbd>{SPLIT_KEYS[split]}</kbd> {split}
        </button>
      ))}
    </span>
  );
}

function keepWord(): string {
  const queue = queueOfView();
  if (queue === 'doubtful') return 'Keep label';
  if (queue === undefined) return 'None of them';
  return state.view.value.place === 'duplicates' ? 'Keep all' : 'Keep';
}

/** What was done last, what is under way, and whether the server is there. */
export function StatusLine() {
  const message = state.message.value;
  const progress = state.progress.value;
  const waiting = state.waiting.value;
  const connection = state.connection.value;
  return (
    <footer class="status-line">
      <p role="status" aria-live="polite" class={message?.kind === 'problem' ? 'message problem' : 'message'}>
        {message?.text}
      </p>
      {progress && (
        <label class="progress">
          {progress.task}: {count(progress.done)} of {count(progress.total)}
          <progress value={progress.done} max={progress.total} />
        </label>
      )}
      <p class={connection === 'lost' ? 'connection lost' : 'connection'} role="status">
        {connection === 'lost'
          ? `The server is gone. ${waiting > 0 ? `${quantity(waiting, 'action')} will be sent` : 'This page goes on'} when it is back.`
          : waiting > 1
            ? `${quantity(waiting, 'action')} under way`
            : ''}
      </p>
      {state.view.value.place !== 'camera' && (
        <input
          type="range"
          class="size"
          aria-label="Size of the pictures"
          title="Size of the pictures (+ and −)"
          min={SIZES.least}
          max={SIZES.most}
          step={SIZES.step}
          value={state.size.value}
          onInput={({ currentTarget }) => (state.size.value = currentTarget.valueAsNumber)}
        />
      )}
    </footer>
  );
}
