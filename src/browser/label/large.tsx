/** One picture as large as there is room, with zoom. It lies over the grid. */
import { signal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { PictureId } from '../../label/protocol.js';
import { count } from '../../util/format.js';
import { ClassName, Dot } from './words.js';
import { certainty, NONE } from './pictures.js';
import { pictureUrl, thumbnailUrl } from './server.js';
import * as state from './state.js';

const MOST_ZOOM = 16;
const STEP = 1.4;
/** Pixels that a finger moves sideways to turn the page. */
const SWIPE = 60;

interface Zoom {
  /** 1 is the whole picture. */
  scale: number;
  /** Of the picture's middle from that of the view, in pixels. */
  x: number;
  y: number;
}

const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };
const zoom = signal(WHOLE);

export function zoomBy(steps: number): void {
  zoom.value = zoomed(zoom.value, STEP ** steps, { x: 0, y: 0 });
}

/** Shows the picture's own pixels, or the whole picture. */
export function toggleZoom(): void {
  zoom.value = zoom.value.scale === 1 ? zoomed(WHOLE, 3, { x: 0, y: 0 }) : WHOLE;
}

/** Zooms so that what lies at a point, seen from the middle of the view, stays there. */
function zoomed({ scale, x, y }: Zoom, factor: number, point: { x: number; y: number }): Zoom {
  const next = Math.min(Math.max(scale * factor, 1), MOST_ZOOM);
  if (next === 1) return WHOLE;
  const by = next / scale;
  return { scale: next, x: point.x - (point.x - x) * by, y: point.y - (point.y - y) * by };
}

export function Large() {
  const id = state.cursor.value;
  const view = useRef<HTMLDivElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const room = useRoom(stage);
  const index = state.indexOf(id);
  const { ids } = state.shown.value;

  useLayoutEffect(() => {
    zoom.value = WHOLE;
    const next = ids[index + 1];
    if (next !== undefined && state.pictures().problems[next] === null) new Image().src = pictureUrl(next);
  }, [id]);
  useEffect(() => {
    view.current?.focus();
  }, []);
  useGestures(stage);

  if (id === undefined) return null;
  const pictures = state.pictures();
  const [width, height] = [pictures.widths[id]!, pictures.heights[id]!];
  const fit = Math.min(room.width / Math.max(width, 1), room.height / Math.max(height, 1), 3);
  const problem = pictures.problems[id];
  const { scale, x, y } = zoom.value;
  const best = pictures.best(id);
  const second = pictures.second(id);
  return (
    <div class="large" ref={view} tabIndex={-1} role="region" aria-label={`Picture ${pictures.names[id]}`}>
      <div class="stage" ref={stage}>
        {problem ? (
          <p class="problem">{problem}</p>
        ) : (
          <div
            key={id}
            class="sheet"
            style={{
              width: `${width * fit}px`,
              height: `${height * fit}px`,
              transform: `translate(${x}px, ${y}px) scale(${scale})`,
            }}
          >
            <img src={thumbnailUrl(id)} alt="" draggable={false} />
            <img src={pictureUrl(id)} alt={pictures.names[id]} draggable={false} decoding="async" />
          </div>
        )}
      </div>
      <button
        type="button"
        class="turn back"
        aria-label="Picture before"
        disabled={index <= 0}
        onClick={() => state.moveTo(index - 1)}
      >
        ‹
      </button>
      <button
        type="button"
        class="turn on"
        aria-label="Next picture"
        disabled={index >= ids.length - 1}
        onClick={() => state.moveTo(index + 1)}
      >
        ›
      </button>
      <button type="button" class="close" aria-label="Close" onClick={() => (state.isLarge.value = false)}>
        ×
      </button>
      <div class="facts">
        <p class="path" title={pictures.names[id]}>
          {pictures.names[id]}
          <small>
            {width > 0 && ` ${width} × ${height}`}
            {pictures.split(id) !== null && ` · ${pictures.split(id)}`}
            {pictures.isLeftOut(id) && ' · left out'}
          </small>
        </p>
        <p class="place">
          {count(index + 1)} of {count(ids.length)}
        </p>
        <p class="given">
          {pictures.labels(id).length > 0 ? (
            pictures.labels(id).map((label) => <ClassName key={label} index={label} />)
          ) : (
            <span class="none">{pictures.isLabelled(id) ? 'none of them' : 'no label'}</span>
          )}
        </p>
        <ul class="guesses" aria-label="Suggestions">
          {best !== NONE && <Guess index={best} probability={pictures.probability(id)} />}
          {second !== NONE && <Guess index={second} probability={pictures.secondProbability(id)} />}
        </ul>
        <Reasons id={id} />
      </div>
    </div>
  );
}

/** Why the picture is in the view, and what else may be wrong with it. */
function Reasons({ id }: { id: PictureId }) {
  const reason = state.shown.value.reasons.get(id);
  const findings = state.pictures().findings(id);
  // In a view of findings, the reason is one of them, without its kind.
  const isFinding = findings.some(({ detail }) => reason?.includes(detail));
  // The two suggestions are beside it.
  const own = reason === undefined || isFinding || state.view.value.place === 'next' ? [] : [reason];
  const text = [...own, ...findings.map((finding) => state.findingWords(finding))].join('; ');
  return (
    <p class="why" title={text}>
      {text}
    </p>
  );
}

function Guess({ index, probability }: { index: number; probability: number }) {
  return (
    <li>
      <Dot index={index} />
      <span class="name">{state.classNames.value[index]}</span>
      <span class="track">
        <i style={{ width: `${100 * probability}%` }} />
      </span>
      <span class="certainty">{certainty(probability)}</span>
    </li>
  );
}

function useRoom(element: { readonly current: HTMLElement | null }): { width: number; height: number } {
  const [room, setRoom] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const found = element.current;
    if (!found) return;
    const measure = () => {
      setRoom({ width: found.clientWidth, height: found.clientHeight });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(found);
    return () => {
      observer.disconnect();
    };
  }, []);
  return room;
}

/** The wheel and two fingers zoom, dragging moves the picture, a double click zooms in and out, a swipe turns the page. */
function useGestures(element: { readonly current: HTMLElement | null }): void {
  useEffect(() => {
    const stage = element.current;
    if (!stage) return;
    const listening = new AbortController();
    const { signal } = listening;
    const fingers = new Map<number, { x: number; y: number }>();
    let swipe = 0;
    const fromMiddle = (x: number, y: number) => {
      const box = stage.getBoundingClientRect();
      return { x: x - box.left - box.width / 2, y: y - box.top - box.height / 2 };
    };
    stage.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        zoom.value = zoomed(zoom.value, Math.exp(-event.deltaY / 300), fromMiddle(event.clientX, event.clientY));
      },
      { signal, passive: false },
    );
    stage.addEventListener(
      'dblclick',
      ({ clientX, clientY }) => {
        zoom.value = zoom.value.scale === 1 ? zoomed(WHOLE, 3, fromMiddle(clientX, clientY)) : WHOLE;
      },
      { signal },
    );
    stage.addEventListener(
      'pointerdown',
      (event) => {
        stage.setPointerCapture(event.pointerId);
        fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
        swipe = 0;
      },
      { signal },
    );
    stage.addEventListener(
      'pointermove',
      (event) => {
        const before = fingers.get(event.pointerId);
        if (!before) return;
        const now = { x: event.clientX, y: event.clientY };
        const other = [...fingers].find(([finger]) => finger !== event.pointerId)?.[1];
        if (other) {
          const factor = distance(now, other) / Math.max(distance(before, other), 1);
          zoom.value = zoomed(zoom.value, factor, fromMiddle((now.x + other.x) / 2, (now.y + other.y) / 2));
        } else if (zoom.value.scale > 1) {
          const { scale, x, y } = zoom.value;
          zoom.value = { scale, x: x + now.x - before.x, y: y + now.y - before.y };
        } else if (event.pointerType === 'touch') swipe += now.x - before.x;
        fingers.set(event.pointerId, now);
      },
      { signal },
    );
    const lift = (event: PointerEvent) => {
      fingers.delete(event.pointerId);
      if (Math.abs(swipe) > SWIPE) state.moveTo(state.indexOf(state.cursor.value) - Math.sign(swipe));
      swipe = 0;
    };
    stage.addEventListener('pointerup', lift, { signal });
    stage.addEventListener('pointercancel', lift, { signal });
    return () => {
      listening.abort();
    };
  }, []);
}

function distance(a: { x: number; y: number }, b: { x: number; y: number }): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
