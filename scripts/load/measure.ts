import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';
import type { Expected } from './expected.js';

/** Tolerance of probabilities: computing pictures in a batch changes the last bits. */
const TOLERANCE = 1e-4;

/** autocannon sends all requests of a second at its start. This many instances, started one after another, spread them. */
const PACERS = 20;

/** Milliseconds before the measurement, until all clients have started and the queue is full. */
const WARM_UP = 2000;

/** Rates per second, and times in ms. */
export interface Measured {
  /** Right answers a second. */
  rate: number;
  /** Response times of the pictures that were classified. */
  p50: number;
  p99: number;
  /** Mean batch size of the backbone. */
  batch: number;
  healthP99: number;
  /** CPU time of the server per picture, and of the client per answer, refusals included. */
  serverCost: number;
  clientCost: number;
  right: number;
  /** Answers 429. */
  refused: number;
  /** Answers that differ from the classifier's. */
  wrong: number;
  /** No answer, or an error. */
  lost: number;
  /** MiB of the server process. */
  memory: number;
}

/** The request that a client is waiting for. */
interface Context {
  picture?: Expected;
  sentAt?: number;
}

/**
 * Sends pictures from several clients at once. Each client sends its next picture when the last one is answered or, with
 * `perSecond`, all together send at that rate as far as clients are free.
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
    // One request that is changed each time. With a list of requests, each client would copy all pictures.
    setupRequest: (defaults: autocannon.Request, context: Context) => {
      const picture = expected[sent++ % expected.length]!;
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
      url,
      duration,
      connections,
      timeout: 30,
      requests: [request],
      ...(rate !== undefined && { overallRate: rate }),
    });
  // In a separate thread, so that the load of this one does not count as the server's delay.
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
  const before = await serverFigures(url);
  const answered = { ...counts };
  const [client, from] = [clientSeconds(), performance.now()];
  times.length = 0;
  await sleep(seconds * 1000 - 500);
  const after = await serverFigures(url);
  const [right, refused] = [counts.right - answered.right, counts.refused - answered.refused];
  const [clientCpu, passed] = [clientSeconds() - client, (performance.now() - from) / 1000];
  times.sort((a, b) => a - b);
  const [p50 = NaN, p99 = NaN] = [0.5, 0.99].map((q) => times[Math.floor(q * times.length)]);

  const ends = await Promise.all(loads);
  const { latency, errors, non2xx } = await health;
  const lost = ends.reduce((sum, end) => sum + end.errors, errors + non2xx);
  return {
    ...counts,
    lost: counts.lost + lost,
    rate: right / passed,
    p50,
    p99,
    healthP99: latency.p99,
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
    best !== undefined && best.label === picture?.label && Math.abs(best.probability - picture.probability) < TOLERANCE;
  return isRight ? 'right' : 'wrong';
}

interface ServerFigures {
  /** Seconds of CPU time. */
  cpu: number;
  /** Bytes. */
  memory: number;
  /** Pictures that the backbone has run on, in how many batches. */
  pictures: number;
  batches: number;
}

/** What the server reports about itself. */
async function serverFigures(url: string): Promise<ServerFigures> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const figure = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
  return {
    cpu: figure('process_cpu_seconds_total'),
    memory: figure('process_resident_memory_bytes'),
    pictures: figure('lastlayer_batch_pictures_sum'),
    batches: figure('lastlayer_batch_pictures_count'),
  };
}

/** CPU time of this process, in seconds. */
function clientSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
