import { create } from '@bufbuild/protobuf';
import { OperatorSetIdProtoSchema, type ModelProto, type NodeProto, type TensorProto } from 'onnx-buf';
import { LastlayerError } from '../errors.js';
import { intTensor, node } from './build.js';
import { opsetOf } from './metadata.js';
import { graphOf } from './model.js';

/** What networks are raised to, and the first IR version that goes with it. */
const OPSET = 18;
const IR_VERSION = 8n;

/** From this version on, the operators mean the same in version 18, but for those that are rewritten here. */
const LEAST_OPSET = 13;

/** Reductions whose axes became an input in version 18 (github.com/onnx/onnx, docs/Changelog.md). */
const REDUCTIONS = new Set([
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSumSquare',
]);

/**
 * The same network for version 18 of ONNX's operators; a network for a later version is left as it is.
 * @throws {LastlayerError} where it is for a version below 13
 */
export function raiseOpset(model: ModelProto, path: string): ModelProto {
  const version = opsetOf(model);
  if (version >= OPSET) return model;
  if (version < LEAST_OPSET) {
    throw new LastlayerError(
      `${path} is written for version ${version} of ONNX's operators, which mean something else in version ${OPSET}. ` +
        `Export the network for opset ${LEAST_OPSET} or later.`,
    );
  }
  const graph = graphOf(model, path);
  const axes: TensorProto[] = [];
  const nodes = graph.node.map((each, i) => {
    if (REDUCTIONS.has(each.opType)) return withAxesInput(each, `lastlayer.axes.${i}`, axes);
    return each.opType === 'Split' ? withOutputCount(each) : each;
  });
  const others = model.opsetImport.filter(({ domain }) => domain !== '' && domain !== 'ai.onnx');
  return {
    ...model,
    irVersion: model.irVersion > IR_VERSION ? model.irVersion : IR_VERSION,
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(OPSET) }), ...others],
    graph: { ...graph, node: nodes, initializer: [...graph.initializer, ...axes] },
  };
}

function withAxesInput(reduction: NodeProto, name: string, constants: TensorProto[]): NodeProto {
  const axes = reduction.attribute.find((attribute) => attribute.name === 'axes');
  if (!axes) return reduction;
  constants.push(intTensor(name, [axes.ints.length], axes.ints.map(Number)));
  return {
    ...reduction,
    input: [...reduction.input, name],
    attribute: reduction.attribute.filter((attribute) => attribute !== axes),
  };
}

/** Parts of equal size have to be counted since version 18. */
function withOutputCount(split: NodeProto): NodeProto {
  if (split.input.length > 1) return split;
  const { attribute } = node('Split', [], [], { num_outputs: split.output.length });
  return { ...split, attribute: [...split.attribute, ...attribute] };
}
