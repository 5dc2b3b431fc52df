import type { Classifier } from '../../classifier/index.js';
import { encodeModel, graphOf } from '../../onnx/index.js';
import { writeExport } from '../write-export.js';
import { checkExport, type CheckOptions, type ExportCheck } from './check.js';
import { classifierGraph, type OnnxInput } from './graph.js';

export interface ExportOnnxOptions extends CheckOptions {
  /** What the network takes. Default: `image`. */
  input?: OnnxInput;
  /** Files of pictures to compare with `predict` on. */
  pictures: readonly string[];
}

/** A network that was written. */
export interface ExportedOnnx {
  path: string;
  bytes: number;
  input: OnnxInput;
  outputs: string[];
  check: ExportCheck;
}

/**
 * Writes trunk and head as one ONNX network, which takes pictures and gives probabilities. Before it is written it is run on
 * pictures and compared with `predict`. Its metadata hold the labels and what else is known of the head; its outputs are
 * `probabilities` [batch, N], `logits` [batch, N] before the temperature, `embedding` [batch, D] and, where the head can tell,
 * `unknown` [batch].
 * @throws {LastlayerError} where the network is not as good as `predict`, see {@link checkExport}, or cannot be written
 * @throws the signal's reason, once it aborts; nothing is written then
 */
export async function exportOnnx(
  classifier: Classifier,
  path: string,
  { input = 'image', pictures, ...options }: ExportOnnxOptions,
): Promise<ExportedOnnx> {
  const { backbone, head } = classifier;
  const graph = await classifierGraph(backbone, head, input);
  const onnx = encodeModel(graph);
  const check = await checkExport(onnx, path, input, classifier, pictures, options);
  options.signal?.throwIfAborted();
  await writeExport({ path, content: onnx });
  const outputs = graphOf(graph, path).output.map(({ name }) => name);
  return { path, bytes: onnx.length, input, outputs, check };
}
