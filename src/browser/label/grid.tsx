/** The grid of pictures. Only the rows on the screen, and a few beside them, exist. */
import { signal } from '@preact/signals';
import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
  type Range,
  type VirtualizerOptions,
} from '@tanstack/virtual-core';
import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from 'preact/hooks';
import { Cell, cellId, isFlying } from './cell.js';
import { GroupHeading } from './group-heading.js';
import { layOut, PADDING, rowOf, type Layout } from './layout.js';
import { usePointer } from './pointer.js';
import * as state from './state.js';

/** Rows beside the screen that exist, so that scrolling finds them there. */
const OVERSCAN = 3;

/** Screens per second above which thumbnails wait until the scrolling is slower. */
const FAST = 5;
const REST_MS = 120;

/** For what moves the cursor. */
export const layout = signal<Layout>({ rows: [], columns: 1, cell: 1, rowHeight: 1 });
/** Rows of pictures that the screen has room for. */
export const rowsPerScreen = signal(1);

export function Grid() {
  const scroller = useRef<HTMLDivElement>(null);
  const width = useWidth(scroller);
  const { ids, groups, isLoading, empty } = state.shown.value;
  // Duplicates are compared side by side.
  const size = state.view.value.place === 'duplicates' ? Math.round(1.5 * state.size.value) : state.size.value;
  const laidOut = useMemo(() => layOut({ ids, groups }, width, size), [ids, groups, width, size]);
  const { rows, columns, cell, rowHeight } = laidOut;
  const cursor = state.cursor.value;
  const cursorIndex = state.indexOf(cursor);
  const cursorRow = cursorIndex === -1 ? undefined : rowOf(laidOut, cursorIndex);

  const virtualizer = useVirtualizer({
    count: width === 0 ? 0 : rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (row) => rows[row]!.height,
    // Another function makes it measure anew.
    getItemKey: useMemo(() => (row: number) => row, [rows]),
    rangeExtractor: (range) => withRow(range, cursorRow),
  });

  useEffect(() => {
    layout.value = laidOut;
    rowsPerScreen.value = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight));
  }, [laidOut]);
  const lastSeen = rows[virtualizer.range?.endIndex ?? -1];
  useEffect(() => {
    if (lastSeen) state.see(lastSeen.heading ? lastSeen.start : lastSeen.end);
  }, [lastSeen]);
  // A view begins at its top, and the cursor stays on the screen: when it moves, and when the rows under it change.
  useLayoutEffect(() => {
    scroller.current?.scrollTo({ top: 0 });
  }, [state.view.value]);
  useLayoutEffect(() => {
    if (scroller.current && cursorRow !== undefined && width > 0) reveal(scroller.current, laidOut, cursorRow);
  }, [cursor, cursorRow, rowHeight, width > 0]);
  // The keyboard begins here, and comes back from the large view.
  const isLarge = state.isLarge.value;
  useLayoutEffect(() => {
    if (!isLarge && document.activeElement === document.body) scroller.current?.focus({ preventScroll: true });
  }, [isLarge]);
  usePointer(scroller, layout);
  useFlight(scroller);

  return (
    <div
      id="grid"
      ref={scroller}
      class="grid"
      role="grid"
      tabIndex={0}
      aria-label="Pictures"
      aria-multiselectable="true"
      aria-rowcount={rows.length}
      aria-colcount={columns}
      aria-busy={isLoading}
      aria-activedescendant={cursor === undefined || cursorIndex === -1 ? undefined : cellId(cursor)}
    >
      <div class="rows" role="presentation" style={{ height: `${virtualizer.getTotalSize()}px` }}>
        {virtualizer.getVirtualItems().map(({ index, start: top }) => {
          const { heading, start, end } = rows[index]!;
          return (
            <div
              key={heading ? `group ${heading.key}` : index}
              class="row"
              role="row"
              aria-rowindex={index + 1}
              style={{ transform: `translateY(${top}px)`, '--cell': `${cell}px` }}
            >
              {heading ? (
                <GroupHeading group={heading} columns={columns} />
              ) : (
                [...ids.subarray(start, end)].map((id, column) => <Cell key={id} id={id} column={column + 1} />)
              )}
            </div>
          );
        })}
      </div>
      {!isLoading && ids.length === 0 && (
        <div role="row" class="empty">
          <div role="gridcell">{empty}</div>
        </div>
      )}
    </div>
  );
}

/** Scrolls as little as it takes to show a row, with the heading above it. */
function reveal(scroller: HTMLElement, { rows }: Layout, index: number): void {
  const row = rows[index]!;
  const above = rows[index - 1];
  const top = (above?.heading ? above.top : row.top) - PADDING;
  const bottom = row.top + row.height;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (bottom > scroller.scrollTop + scroller.clientHeight) {
    scroller.scrollTop = Math.min(bottom - scroller.clientHeight, top);
  }
}

/** The rows to draw. That of the cursor is among them, as the grid names its cell as the active one. */
function withRow({ startIndex, endIndex, count }: Range, row: number | undefined): number[] {
  const first = Math.max(startIndex - OVERSCAN, 0);
  const last = Math.min(endIndex + OVERSCAN, count - 1);
  const drawn = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  if (row === undefined || row >= count) return drawn;
  if (row < first) drawn.unshift(row);
  if (row > last) drawn.push(row);
  return drawn;
}

type GridVirtualizer = Virtualizer<HTMLDivElement, Element>;
type Options = VirtualizerOptions<HTMLDivElement, Element>;

function useVirtualizer(
  own: Pick<Options, 'count' | 'getScrollElement' | 'estimateSize'> &
    Required<Pick<Options, 'getItemKey' | 'rangeExtractor'>>,
): GridVirtualizer {
  const [, redraw] = useReducer((drawn: number) => drawn + 1, 0);
  const options: Options = {
    ...own,
    paddingStart: PADDING,
    paddingEnd: PADDING,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: redraw,
  };
  const [virtualizer] = useState(() => new Virtualizer(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => {
    virtualizer._willUpdate();
  });
  return virtualizer;
}

function useWidth(element: RefObject<HTMLElement>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const found = element.current;
    if (!found) return;
    setWidth(found.clientWidth);
    const observer = new ResizeObserver(() => {
      setWidth(found.clientWidth);
    });
    observer.observe(found);
    return () => {
      observer.disconnect();
    };
  }, []);
  return width;
}

/** Tells when the user scrolls so fast that no picture is worth loading. */
function useFlight(element: RefObject<HTMLElement>): void {
  useEffect(() => {
    const found = element.current;
    if (!found) return;
    let [top, at] = [found.scrollTop, performance.now()];
    let rest: ReturnType<typeof setTimeout> | undefined;
    const onScroll = () => {
      const now = performance.now();
      const screens = Math.abs(found.scrollTop - top) / found.clientHeight;
      if (screens / Math.max(now - at, 1) > FAST / 1000) isFlying.value = true;
      [top, at] = [found.scrollTop, now];
      clearTimeout(rest);
      rest = setTimeout(() => {
        isFlying.value = false;
      }, REST_MS);
    };
    found.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      clearTimeout(rest);
      found.removeEventListener('scroll', onScroll);
    };
  }, []);
}
