/** An event of Chromium's tracing; times in µs. */
export interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  /** Of the thread's processor. */
  tdur?: number;
  id2?: { local?: string };
  args?: { name?: string };
}

/** What the page's thread did, in ms. */
export interface PageWork {
  /** From the beginning of each frame to its end, other programs' time on the processor included. */
  frames: number[];
  /** Processor time of each task. */
  tasks: number[];
}

export function pageWork(events: readonly TraceEvent[]): PageWork {
  const threads = new Set(
    events
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const onPage = events.filter(({ pid, tid }) => threads.has(`${pid} ${tid}`));
  const begun = new Map<string, number>();
  const frames: number[] = [];
  for (const { name, ph, pid, ts, id2 } of onPage) {
    if (name !== 'AnimationFrame') continue;
    const key = `${pid} ${id2?.local ?? ''}`;
    const start = begun.get(key);
    if (ph === 'b') begun.set(key, ts);
    else if (ph === 'e' && start !== undefined) frames.push((ts - start) / 1000);
  }
  const tasks = onPage
    .filter(({ name, ph }) => ph === 'X' && name.endsWith('RunTask'))
    .map(({ dur = 0, tdur = dur }) => tdur / 1000);
  return { frames, tasks };
}
