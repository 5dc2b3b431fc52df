import * as ort from 'onnxruntime-node';
import { LastlayerError, messageOf } from '../errors.js';

/** Where the trunk runs. All but the processor need a build of onnxruntime-node that has the provider. */
export const DEVICES = ['cpu', 'cuda', 'coreml', 'dml', 'webgpu'] as const;
export type Device = (typeof DEVICES)[number];

export interface SessionOptions {
  /** Default: cpu. */
  device?: Device;
  /** Threads for the arithmetic; by default one a core. */
  threads?: number;
}

/** `widen`: add the products of an int8 network in more bits, for processors on which they overflow; slow. */
type Settings = SessionOptions & { widen?: boolean };

/**
 * Loads a graph.
 * @throws {LastlayerError} where onnxruntime refuses it or has no such device
 */
export async function createSession(
  graph: Uint8Array,
  source: string,
  settings: Settings,
): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(graph, sessionOptions(settings));
  } catch (error) {
    throw loadError(source, settings.device, messageOf(error));
  }
}

/** The settings as onnxruntime takes them. */
export function sessionOptions({
  device = 'cpu',
  threads,
  widen = false,
}: Settings): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: [device],
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    logSeverityLevel: 3,
    extra: {
      session: {
        // Threads that wait for work by spinning take the processor from those that decode the next pictures.
        intra_op: { allow_spinning: '0' },
        // Turns int8 weights into uint8, whose products with activations are added in 32 bits everywhere.
        ...(widen ? { x64quantprecision: '1' } : {}),
      },
    },
  };
}

/** Says that a graph cannot be loaded, and what may help. */
export function loadError(source: string, device: Device = 'cpu', reason: string): LastlayerError {
  const hint =
    device === 'cpu'
      ? 'Is it a whole ONNX file?'
      : `Is onnxruntime-node installed with ${device}? See "GPU" in README.md.`;
  return new LastlayerError(`onnxruntime cannot load ${source} on ${device}: ${reason}. ${hint}`);
}
