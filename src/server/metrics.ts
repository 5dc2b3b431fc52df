import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Limits } from './limits.js';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What Prometheus is told, beside the figures of the process itself. */
export class Metrics {
  private readonly registry = new Registry();
  private readonly registers = [this.registry];

  readonly requests = new Histogram({
    name: 'lastlayer_request_seconds',
    help: 'Time from the first byte of a request to its answer.',
    labelNames: ['route', 'method', 'status'],
    buckets: SECONDS,
    registers: this.registers,
  });
  readonly pictures = new Counter({
    name: 'lastlayer_pictures_total',
    help: 'Pictures by the head that judged them and what came of it: classified, unknown or unreadable.',
    labelNames: ['head', 'outcome'],
    registers: this.registers,
  });
  readonly batchPictures = new Histogram({
    name: 'lastlayer_batch_pictures',
    help: 'Pictures that went through the backbone together.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
    registers: this.registers,
  });
  readonly batchSeconds = new Histogram({
    name: 'lastlayer_batch_seconds',
    help: 'Time that a batch took in the backbone.',
    buckets: SECONDS,
    registers: this.registers,
  });
  readonly reloads = new Counter({
    name: 'lastlayer_head_reloads_total',
    help: 'Files of heads that changed, by whether the new head was taken or the old one kept.',
    labelNames: ['head', 'outcome'],
    registers: this.registers,
  });

  constructor(limits: Limits) {
    const { registers } = this;
    collectDefaultMetrics({ register: this.registry });
    gauge('lastlayer_queue_pictures', 'Pictures that wait or are at work.', () => limits.queued);
    gauge('lastlayer_held_bytes', 'Bytes of request bodies that are held.', () => limits.held);
    function gauge(name: string, help: string, value: () => number): void {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    }
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
