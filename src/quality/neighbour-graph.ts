import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeModel, model, node, tensorInfo } from '../onnx/index.js';

/** For each query the most similar references, the most similar first. */
export interface TopK {
  k: number;
  /** Scalar products; [queries × k], row-major. */
  similarities: Float32Array;
  /** Places among the references; [queries × k], row-major. */
  indices: BigInt64Array;
}

/** The most similar rows by scalar product, as a small ONNX graph: Q Rᵀ, then the k largest of each row. */
export class NeighbourGraph {
  private constructor(private readonly session: InferenceSession) {}

  static async create(): Promise<NeighbourGraph> {
    return new NeighbourGraph(
      await InferenceSession.create(
        encodeModel(
          model({
            name: 'neighbours',
            inputs: [
              tensorInfo('Q', ['queries', 'width']),
              tensorInfo('R', ['references', 'width']),
              tensorInfo('k', [1], 'int64'),
            ],
            initializers: [],
            nodes: [
              node('Gemm', ['Q', 'R'], ['products'], { transB: 1 }),
              node('TopK', ['products', 'k'], ['similarities', 'indices']),
            ],
            outputs: [
              tensorInfo('similarities', ['queries', 'k']),
              tensorInfo('indices', ['queries', 'k'], 'int64'),
            ],
          }),
        ),
      ),
    );
  }

  /**
   * @param queries [queries × width], row-major
   * @param references [references × width], row-major
   * @param k 1 or more; all references where they are fewer
   */
  async topK(queries: Float32Array, references: Float32Array, width: number, k: number): Promise<TopK> {
    const count = references.length / width;
    const most = Math.min(k, count);
    const { similarities, indices } = await this.session.run({
      Q: new Tensor('float32', queries, [queries.length / width, width]),
      R: new Tensor('float32', references, [count, width]),
      k: new Tensor('int64', BigInt64Array.of(BigInt(most)), [1]),
    });
    const [values, places] = [similarities?.data, indices?.data];
    if (!(values instanceof Float32Array && places instanceof BigInt64Array)) {
      throw new TypeError('The neighbour graph lacks an output.');
    }
    return { k: most, similarities: values, indices: places };
  }

  /** Frees the session; nothing can be computed any more. */
  async release(): Promise<void> {
    await this.session.release();
  }
}
