import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Limits } from './limits.js';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Metrics for Prometheus, besides those of the process itself. */
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
    help: 'Pictures by head and outcome: classified, unknown or unreadable.',
    labelNames: ['head', 'outcome'],
    registers: this.registers,
  });
  readonly batchPictures = new Histogram({
    name: 'lastlayer_batch_pictures',
    help: 'Pictures per batch of the backbone.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
    registers: this.registers,
  });
  readonly batchSeconds = new Histogram({
    name: 'lastlayer_batch_seconds',
    help: 'Time of a batch in the backbone.',
    buckets: SECONDS,
    registers: this.registers,
  });
  readonly reloads = new Counter({
    name: 'lastlayer_head_reloads_total',
    help: 'Changes of head files, by outcome: reloaded, or rejected if the old head stays in service.',
    labelNames: ['head', 'outcome'],
    registers: this.registers,
  });

  constructor(limits: Limits) {
    const { registers } = this;
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: 'lastlayer_queue_pictures',
      help: 'Pictures waiting or in progress.',
      registers,
      collect() {
        this.set(limits.queued);
      },
    });
    new Gauge({
      name: 'lastlayer_held_bytes',
      help: 'Bytes of request bodies in memory.',
      registers,
      collect() {
        this.set(limits.held);
      },
    });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
