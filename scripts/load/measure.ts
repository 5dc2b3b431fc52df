import autocannon from 'autocannon';
import type { Expected } from './expected.js';

/** How far a probability may be from the one that is expected: pictures of a batch are computed together. */
const TOLERANCE = 1e-4;

/** Pictures a second, and times in ms. */
export interface Measured {
  /** Right answers a second. */
  rate: number;
  /** Of those that were answered at all, right or refused. */
  p50: number;
  p99: number;
  /** Pictures that went through the trunk together, on average. */
  batch: number;
  healthP99: number;
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

/**
 * Sends pictures from so many clients at the same time: each one when the one before is answered, or so many a second in all.
 */
export async function measure(
  url: string,
  expected: readonly Expected[],
  { clients, perSecond }: { clients: number; perSecond?: number },
  seconds: number,
): Promise<Measured> {
  const counts = { right: 0, refused: 0, wrong: 0, lost: 0 };
  const requests = expected.map((picture) => ({
    method: 'POST' as const,
    path: '/v1/classify?topK=1',
    headers: { 'content-type': 'application/octet-stream' },
    body: picture.bytes,
    onResponse: (status: number, body: string) => {
      counts[outcomeOf(status, body, picture)]++;
    },
  }));
  let started = 0;
  const load = autocannon({
    url,
    duration: seconds,
    connections: clients,
    timeout: 30,
    ...(perSecond !== undefined && { overallRate: perSecond }),
    requests,
    // Each client begins with another picture.
    setupClient: (client) => {
      const first = (started++ * 7) % requests.length;
      client.setRequests([...requests.slice(first), ...requests.slice(0, first)]);
    },
  });
  // In a thread of its own, so that what this one has to do is not taken for the server's delay.
  const health = autocannon({
    ...{ url: `${url}/healthz`, duration: seconds, connections: 1, connectionRate: 20, workers: 1 },
  });
  const [{ latency, errors, duration }, { latency: healthLatency, non2xx }] = await Promise.all([
    load,
    health,
  ]);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const figure = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(metrics)?.[1]);
  return {
    ...{ ...counts, lost: counts.lost + errors + non2xx },
    rate: counts.right / duration,
    ...{ p50: latency.p50, p99: latency.p99, healthP99: healthLatency.p99 },
    batch: figure('lastlayer_batch_pictures_sum') / figure('lastlayer_batch_pictures_count'),
    memory: figure('process_resident_memory_bytes') / 2 ** 20,
  };
}

function outcomeOf(status: number, body: string, { label, probability }: Expected) {
  if (status === 429) return 'refused';
  if (status !== 200) return 'lost';
  const { results } = JSON.parse(body) as {
    results: { predictions: { label: string; probability: number }[] }[];
  };
  const best = results[0]?.predictions[0];
  const isRight = best?.label === label && Math.abs(best.probability - probability) < TOLERANCE;
  return isRight ? 'right' : 'wrong';
}
