import { TestEnvironment } from 'jest-environment-node';

/**
 * Jest runs tests in a vm context with typed-array classes of its own, so the native modules' `instanceof` checks
 * refuse every array that a test makes. Handing the outer realm's classes in makes them the same ones.
 */
export default class extends TestEnvironment {
  override async setup(): Promise<void> {
    await super.setup();
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
}
