import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestEnvironment } from 'jest-environment-node';

/**
 * Jest runs tests in a vm context with typed-array classes of its own, so the native modules' `instanceof` checks
 * refuse every array that a test makes. Handing the outer realm's classes in makes them the same ones.
 *
 * Each file of tests has a LASTLAYER_HOME of its own, so that no test sees or writes the developer's models.
 */
export default class extends TestEnvironment {
  private home = '';

  override async setup(): Promise<void> {
    await super.setup();
    this.home = await mkdtemp(join(tmpdir(), 'lastlayer-home-'));
    Object.assign(this.global.process.env, { LASTLAYER_HOME: this.home });
    Object.assign(this.global, {
      ArrayBuffer,
      Int8Array,
      Uint8Array,
      Uint8ClampedArray,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
      Float64Array,
      BigInt64Array,
      BigUint64Array,
    });
  }

  override async teardown(): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
    await super.teardown();
  }
}
