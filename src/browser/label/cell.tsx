/** A picture in the grid, with its label and what the classifier suggests. */
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { PictureId } from '../../label/protocol.js';
import { ClassName } from './words.js';
import { certainty, NONE } from './pictures.js';
import { thumbnailUrl } from './server.js';
import * as state from './state.js';

/** Whether the user scrolls too fast for pictures to be worth loading. */
export const isFlying = signal(false);

export function cellId(id: PictureId): string {
  return `picture-${id}`;
}

export function Cell({ id, column }: { id: PictureId; column: number }) {
  const pictures = state.pictures();
  const isSelected = state.selection.value.has(id);
  const isLeftOut = pictures.isLeftOut(id);
  const problem = pictures.problems[id];
  const split = pictures.split(id);
  const reason = state.shown.value.reasons.get(id);
  const classNames = ['cell'];
  if (isSelected) classNames.push('selected');
  if (id === state.cursor.value) classNames.push('cursor');
  if (isLeftOut) classNames.push('left-out');
  return (
    <div
      id={cellId(id)}
      class={classNames.join(' ')}
      data-id={id}
      role="gridcell"
      aria-colindex={column}
      aria-selected={isSelected}
      title={pictures.names[id]}
    >
      <div class="frame">
        {problem ? <p class="problem">{problem}</p> : <Thumbnail id={id} />}
        <span class="tick" />
        {isLeftOut && <span class="hidden"> left out </span>}
        {split !== null && <span class="mark">{split}</span>}
        {reason !== undefined && <span class="reason">{reason}</span>}
      </div>
      <Caption id={id} />
    </div>
  );
}

/** Two lines: the label, and below it the suggestion. */
function Caption({ id }: { id: PictureId }) {
  const labels = state.pictures().labels(id);
  const best = state.pictures().best(id);
  const probability = state.pictures().probability(id);
  // What a queue suggests comes from pictures that the classifier has not seen.
  const ofQueue = state.shown.value.suggestions.get(id);
  const differs = labels.length > 0 && (ofQueue ? true : best !== NONE && !labels.includes(best));
  return (
    <div class="caption">
      <div class="line">
        {labels.length > 0 ? (
          labels.map((index) => <ClassName key={index} index={index} />)
        ) : (
          <span class="none">{state.pictures().isLabelled(id) ? 'none of them' : 'no label'}</span>
        )}
      </div>
      <div class={differs ? 'line suggestion differs' : 'line suggestion'}>
        {(ofQueue !== undefined || best !== NONE) && <span class="hidden">, suggestion </span>}
        {ofQueue !== undefined && <span class="name">{ofQueue}?</span>}
        {ofQueue === undefined && best !== NONE && (
          <>
            <span class="name">{state.classNames.value[best]}</span>
            <span class="certainty">{certainty(probability)}</span>
            <i style={{ width: `${Math.round(100 * probability)}%` }} />
          </>
        )}
      </div>
    </div>
  );
}

function Thumbnail({ id }: { id: PictureId }) {
  const image = useRef<HTMLImageElement>(null);
  const [isWanted, setWanted] = useState(!isFlying.peek());
  if (!isWanted && !isFlying.value) setWanted(true);
  useEffect(() => {
    const element = image.current;
    // One that is no longer needed leaves the connection to those that are.
    return () => {
      if (element && !element.complete) element.removeAttribute('src');
    };
  }, []);
  return (
    <img
      ref={image}
      src={isWanted ? thumbnailUrl(id) : undefined}
      alt={state.pictures().names[id]}
      draggable={false}
      decoding="async"
    />
  );
}
