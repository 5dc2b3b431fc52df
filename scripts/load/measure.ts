import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';
import type { Expected } from './expected.js';
import { clientSeconds, serverFigures } from './figures.js';

/** How far a probability may be from the one that is expected: pictures of a batch are computed together. */
const TOLERANCE = 1e-4;

/** autocannon sends what is due in a second at its beginning; so many of it, begun one after another, spread it. */
const PACERS = 20;

/** How long a setting runs before it is measured, in ms: until all clients have begun and the queue is full. */
const WARM_UP = 2000;

/** Pictures a second, and times in ms. */
export interface Measured {
  /** Right answers a second. */
  rate: number;
  /** Of the answers that were no refusals. */
  p50: number;
  p99: number;
  /** Pictures that went through the backbone together, on average. */
  batch: number;
  healthP99: number;
  /** Processor time of the server for each picture, and of the client for each answer, refusals included. */
  serverCost: number;
  clientCost: number;
  right: number;
  /** 429 */
  refused: number;
  /** Another answer than for that picture. */
  wrong: number;
  /** No answer, or an error. */
  lost: number;
  /** MiB of the server process. */
  memory: number;
}

/** What a client has under way. */
interface Context {
  picture?: Expected;
  sentAt?: number;
}

/**
 * Sends pictures from so many clients at the same time: each one when the one before is answered, or so many a second in all,
 * as far as clients are free.
 */
export async function measure(
  url: string,
  expected: readonly Expected[],
  { clients, perSecond }: { clients: number; perSecond?: number },
  seconds: number,
): Promise<Measured> {
  const counts = { right: 0, refused: 0, wrong: 0, lost: 0 };
  const times: number[] = [];
  const duration = WARM_UP / 1000 + seconds;
  let sent = 0;
  const request = {
    method: 'POST' as const,
    path: '/v1/classify?topK=1',
    headers: { 'content-type': 'application/octet-stream' },
    // One request that changes: each client would make a copy of all pictures.
    setupRequest: (defaults: autocannon.Request, context: Context) => {
      const picture = expected[sent++ % expected.length];
      if (!picture) throw new Error('There is no picture to send.');
      Object.assign(context, { picture, sentAt: performance.now() });
      return { ...defaults, body: picture.bytes };
    },
    onResponse: (status: number, body: string, { picture, sentAt = NaN }: Context) => {
      if (status === 200) times.push(performance.now() - sentAt);
      counts[outcomeOf(status, body, picture)]++;
    },
  };
  const start = (connections: number, rate: number | undefined) =>
    autocannon({
      ...{ url, duration, connections, timeout: 30, requests: [request] },
      ...(rate !== undefined && { overallRate: rate }),
    });
  // In a thread of its own, so that what this one has to do is not taken for the server's delay.
  const health = autocannon({
    url: `${url}/healthz`,
    duration,
    connections: 1,
    connectionRate: 20,
    workers: 1,
  });
  const begun = performance.now();
  const loads = [];
  for (let i = 0; i < (perSecond === undefined ? 1 : PACERS); i++) {
    if (perSecond === undefined) loads.push(start(clients, undefined));
    else loads.push(start(Math.round(clients / PACERS), Math.round(perSecond / PACERS)));
    if (perSecond !== undefined) await sleep(1000 / PACERS);
  }
  await sleep(WARM_UP - (performance.now() - begun));
  const [before, answered, client, from] = [
    await serverFigures(url),
    { ...counts },
    clientSeconds(),
    performance.now(),
  ];
  times.length = 0;
  await sleep(seconds * 1000 - 500);
  const [after, right, refused] = [
    await serverFigures(url),
    counts.right - answered.right,
    counts.refused - answered.refused,
  ];
  const [clientCpu, passed] = [clientSeconds() - client, (performance.now() - from) / 1000];
  times.sort((a, b) => a - b);
  const [p50 = NaN, p99 = NaN] = [0.5, 0.99].map((part) => times[Math.floor(times.length * part)]);

  const ends = await Promise.all(loads);
  const { latency, errors, non2xx } = await health;
  const lost = ends.reduce((sum, end) => sum + end.errors, errors + non2xx);
  return {
    ...{ ...counts, lost: counts.lost + lost, rate: right / passed, p50, p99, healthP99: latency.p99 },
    batch: (after.pictures - before.pictures) / (after.batches - before.batches),
    serverCost: (1000 * (after.cpu - before.cpu)) / right,
    clientCost: (1000 * clientCpu) / (right + refused),
    memory: after.memory / 2 ** 20,
  };
}

function outcomeOf(status: number, body: string, picture: Expected | undefined) {
  if (status === 429) return 'refused';
  if (status !== 200) return 'lost';
  const { results } = JSON.parse(body) as {
    results: { predictions: { label: string; probability: number }[] }[];
  };
  const best = results[0]?.predictions[0];
  const isRight =
    best !== undefined &&
    best.label === picture?.label &&
    Math.abs(best.probability - picture.probability) < TOLERANCE;
  return isRight ? 'right' : 'wrong';
}
