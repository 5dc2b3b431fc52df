/** Sets how certain a suggestion must be to be accepted, and shows what that would do. */
import { useEffect, useRef } from 'preact/hooks';
import { count, htmlPercent as percent, quantity } from '../../util/format.js';
import { accept } from './actions.js';
import { askPreview } from './server.js';
import * as state from './state.js';

const PAUSE_MS = 120;

export function AcceptPanel() {
  const { above, label } = state.acceptance.value;
  const preview = state.preview.value;
  const pause = useRef(0);
  useEffect(
    () => () => {
      clearTimeout(pause.current);
    },
    [],
  );
  const set = (part: Partial<typeof state.acceptance.value>) => {
    state.acceptance.value = { ...state.acceptance.value, ...part };
    clearTimeout(pause.current);
    pause.current = setTimeout(() => void askPreview(), PAUSE_MS);
  };
  const wrong = preview ? preview.expectedError * preview.count : 0;
  return (
    <section class="accept" aria-label="What to accept">
      <label class="field wide">
        <span>
          At least <strong>{percent(above)}</strong> certain
        </span>
        <input
          type="range"
          min={50}
          max={99.9}
          step={0.1}
          value={100 * above}
          onInput={({ currentTarget }) => set({ above: currentTarget.valueAsNumber / 100 })}
        />
      </label>
      <label class="field">
        <span>Class</span>
        <select
          value={label ?? ''}
          onChange={({ currentTarget }) => set({ label: currentTarget.value === '' ? undefined : currentTarget.value })}
        >
          <option value="">all classes</option>
          {state.liveClasses.value.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <div class="outcome">
        <p>
          <strong>{preview ? quantity(preview.count, 'picture') : '–'}</strong>
          {preview &&
            preview.count > 0 &&
            `, of which about ${wrong < 1 ? 'none' : count(Math.round(wrong))} will be wrong (${percent(preview.expectedError)})`}
        </p>
      </div>
      <button type="button" class="main" disabled={!preview || preview.count === 0} onClick={() => void accept()}>
        Accept {preview && preview.count > 0 ? count(preview.count) : ''}
      </button>
      <p class="by-class">
        {preview?.groups.map((group) => `${group.label} ${count(group.pictures.length)}`).join(' · ')}
      </p>
      <p class="note">
        A sample, drawn at random. Correct here what is wrong: it then has its label, and is not accepted.
      </p>
    </section>
  );
}
