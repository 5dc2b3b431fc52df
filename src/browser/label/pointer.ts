/** Mouse and touch on the grid: the cursor, the selection, and a rubber band around pictures. */
import type { Signal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect } from 'preact/hooks';
import type { PictureId } from '../../label/protocol.js';
import { make } from '../dom.js';
import { within, type Layout, type Rectangle } from './layout.js';
import * as state from './state.js';

/** Pixels that the mouse moves before it drags. */
const DRAG = 5;
const LONG_PRESS_MS = 450;
/** Of the grid, where a drag scrolls it: pixels from its edge, and pixels per frame. */
const [EDGE, SCROLL] = [48, 18];

/**
 * A click moves the cursor, a second one or a double click shows the picture large; with Ctrl it selects one more, with Shift all up
 * to there. Dragging selects what the rubber band touches. On a touch screen, a long press selects, and from then on a tap does.
 */
export function usePointer(scroller: RefObject<HTMLElement>, layout: Signal<Layout>): void {
  useEffect(() => {
    const grid = scroller.current;
    if (!grid) return;
    const listening = new AbortController();
    const { signal } = listening;
    let [hasDragged, wasHeld] = [false, false];
    let held: ReturnType<typeof setTimeout> | undefined;

    grid.addEventListener(
      'pointerdown',
      (event) => {
        [hasDragged, wasHeld] = [false, false];
        if (event.button !== 0 || isControl(event.target)) return;
        if (event.pointerType === 'mouse') {
          if (!isScrollbar(grid, event)) startDrag(event);
          return;
        }
        const id = pictureAt(event.target);
        clearTimeout(held);
        held = setTimeout(() => {
          wasHeld = true;
          if (id !== undefined) state.toggleSelected(id);
        }, LONG_PRESS_MS);
      },
      { signal },
    );
    for (const kind of ['pointerup', 'pointercancel', 'pointermove'] as const) {
      grid.addEventListener(
        kind,
        ({ movementX, movementY }) => {
          if (kind !== 'pointermove' || Math.abs(movementX) + Math.abs(movementY) > DRAG) clearTimeout(held);
        },
        { signal },
      );
    }
    // A long press is ours.
    grid.addEventListener(
      'contextmenu',
      (event) => {
        if (wasHeld || event.pointerType === 'touch') event.preventDefault();
      },
      { signal },
    );
    grid.addEventListener(
      'click',
      (event) => {
        const id = pictureAt(event.target);
        if (isControl(event.target) || hasDragged || wasHeld) return;
        if (id === undefined) state.setSelection([]);
        else click(id, event, event.pointerType === 'touch');
      },
      { signal },
    );
    grid.addEventListener(
      'dblclick',
      (event) => {
        const hasModifier = event.ctrlKey || event.metaKey || event.shiftKey;
        if (pictureAt(event.target) !== undefined && !hasModifier) state.isLarge.value = true;
      },
      { signal },
    );
    return () => {
      listening.abort();
      clearTimeout(held);
    };

    function startDrag(down: PointerEvent): void {
      const from = placeIn(grid!, down);
      const before = down.ctrlKey || down.metaKey ? [...state.selection.value] : [];
      let at: PointerEvent = down;
      let band: HTMLElement | undefined;
      let frame = 0;
      const dragging = new AbortController();
      const options = { signal: dragging.signal };
      const draw = () => {
        const to = placeIn(grid!, at);
        const area: Rectangle = {
          left: Math.min(from.x, to.x),
          right: Math.max(from.x, to.x),
          top: Math.min(from.y, to.y),
          bottom: Math.max(from.y, to.y),
        };
        Object.assign(band!.style, {
          transform: `translate(${area.left}px, ${area.top}px)`,
          width: `${area.right - area.left}px`,
          height: `${area.bottom - area.top}px`,
        });
        state.setSelection([...before, ...within(layout.value, state.shown.value.ids, area)]);
      };
      const scroll = () => {
        const { top, bottom } = grid!.getBoundingClientRect();
        const by = at.clientY < top + EDGE ? -SCROLL : at.clientY > bottom - EDGE ? SCROLL : 0;
        if (by !== 0) {
          grid!.scrollBy({ top: by });
          draw();
        }
        frame = requestAnimationFrame(scroll);
      };
      const end = () => {
        dragging.abort();
        cancelAnimationFrame(frame);
        band?.remove();
      };
      window.addEventListener(
        'pointermove',
        (event) => {
          at = event;
          if (!band) {
            if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < DRAG) return;
            hasDragged = true;
            band = make('div', undefined, 'band');
            grid!.querySelector('.rows')!.append(band);
            frame = requestAnimationFrame(scroll);
          }
          draw();
        },
        options,
      );
      window.addEventListener('pointerup', end, options);
      window.addEventListener('pointercancel', end, options);
      signal.addEventListener('abort', end, options);
    }
  }, []);
}

function click(id: PictureId, { shiftKey, ctrlKey, metaKey }: MouseEvent, isTouch: boolean): void {
  if (shiftKey) state.moveTo(state.indexOf(id), 'extend');
  else if (ctrlKey || metaKey || (isTouch && state.selection.value.size > 0) || isInCluster(id))
    state.toggleSelected(id);
  else if (isTouch && id === state.cursor.value) state.isLarge.value = true;
  else {
    state.setSelection([]);
    state.moveTo(state.indexOf(id));
  }
}

/** A cluster is selected as a whole, and a click takes one picture out of it. */
function isInCluster(id: PictureId): boolean {
  if (state.view.value.place !== 'clusters') return false;
  const [group, current] = [id, state.cursor.value].map((one) =>
    state.groupAt(state.shown.value.groups, state.indexOf(one)),
  );
  return group !== undefined && group === current;
}

function pictureAt(target: EventTarget | null): PictureId | undefined {
  const id = target instanceof Element ? target.closest<HTMLElement>('[data-id]')?.dataset.id : undefined;
  return id === undefined ? undefined : Number(id);
}

function isControl(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('button, a, input, select') !== null;
}

function isScrollbar(grid: HTMLElement, { clientX }: PointerEvent): boolean {
  return clientX > grid.getBoundingClientRect().left + grid.clientWidth;
}

/** A point in what the grid scrolls. */
function placeIn(grid: HTMLElement, { clientX, clientY }: PointerEvent): { x: number; y: number } {
  const { left, top } = grid.getBoundingClientRect();
  return { x: clientX - left, y: clientY - top + grid.scrollTop };
}
