/**
 * A ResNet of bottleneck blocks written a second time, in plain loops over float64 after PyTorch's definitions of its
 * layers, to hold the graph against: nothing is folded, nothing shared with `src`.
 */
export interface Tensor {
  shape: number[];
  data: Float32Array;
}

/** Feature maps [channels, side, side] of one picture. */
interface Maps {
  channels: number;
  side: number;
  data: Float64Array;
}

export interface SmallResNet {
  /** Bottleneck blocks in each of the four stages. */
  blocks: number[];
  channels: number;
  /** Channels of the first stage's 3 × 3 convolutions. */
  width: number;
  groups: number;
  classes: number;
}

/** A checkpoint in torchvision's names with made-up weights and BatchNorm statistics. */
export function smallCheckpoint({ blocks, channels, width, groups, classes }: SmallResNet): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  let seed = 0;
  const put = (name: string, shape: number[], from: number, to: number) => {
    const length = shape.reduce((product, n) => product * n, 1);
    const middle = (from + to) / 2;
    const data = Float32Array.from({ length }, () => middle + ((to - from) / 2) * Math.sin(++seed * seed * 0.7));
    tensors.set(name, { shape, data });
  };
  const conv = (name: string, norm: string, [out, fan, kernel]: [number, number, number]) => {
    const bound = Math.sqrt(6 / (fan * kernel * kernel));
    put(`${name}.weight`, [out, fan, kernel, kernel], -bound, bound);
    put(`${norm}.weight`, [out], 0.3, 1.2);
    put(`${norm}.bias`, [out], -0.2, 0.4);
    put(`${norm}.running_mean`, [out], -0.3, 0.3);
    put(`${norm}.running_var`, [out], 0.4, 2);
    tensors.set(`${norm}.num_batches_tracked`, { shape: [], data: Float32Array.of(7) });
  };
  conv('conv1', 'bn1', [channels, 3, 7]);
  let from = channels;
  blocks.forEach((count, stage) => {
    const [inner, to] = [width * 2 ** stage, 4 * channels * 2 ** stage];
    for (let i = 0; i < count; i++) {
      const block = `layer${stage + 1}.${i}`;
      conv(`${block}.conv1`, `${block}.bn1`, [inner, from, 1]);
      conv(`${block}.conv2`, `${block}.bn2`, [inner, inner / groups, 3]);
      conv(`${block}.conv3`, `${block}.bn3`, [to, inner, 1]);
      if (i === 0) conv(`${block}.downsample.0`, `${block}.downsample.1`, [to, from, 1]);
      from = to;
    }
  });
  put('fc.weight', [classes, from], -0.3, 0.3);
  put('fc.bias', [classes], -1, 1);
  return tensors;
}

/** What the network makes of one picture, planes [3, side, side]: its last feature map, pooled features and logits. */
export function referenceResNet(
  tensors: ReadonlyMap<string, Tensor>,
  picture: Float32Array,
  groups: number,
): { map: Float64Array; embedding: number[]; logits: number[] } {
  const get = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`no ${name}`);
    return tensor;
  };
  const layer = (input: Maps, conv: string, norm: string, stride = 1, inGroups = 1): Maps => {
    const output = convolve(input, get(`${conv}.weight`), stride, inGroups);
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
      (parameter) => get(`${norm}.${parameter}`).data,
    );
    return map(
      output,
      (value, c) => ((value - at(mean, c)) / Math.sqrt(at(variance, c) + 1e-5)) * at(gamma, c) + at(beta, c),
    );
  };
  const side = Math.sqrt(picture.length / 3);
  let x = maxPool(relu(layer({ channels: 3, side, data: Float64Array.from(picture) }, 'conv1', 'bn1', 2)));
  for (let stage = 1; stage <= 4; stage++) {
    for (let i = 0; tensors.has(`layer${stage}.${i}.conv1.weight`); i++) {
      const block = `layer${stage}.${i}`;
      const stride = stage > 1 && i === 0 ? 2 : 1;
      const shortcut = i === 0 ? layer(x, `${block}.downsample.0`, `${block}.downsample.1`, stride) : x;
      const first = relu(layer(x, `${block}.conv1`, `${block}.bn1`));
      const second = relu(layer(first, `${block}.conv2`, `${block}.bn2`, stride, groups));
      const third = layer(second, `${block}.conv3`, `${block}.bn3`);
      x = relu({ ...third, data: third.data.map((value, p) => value + at(shortcut.data, p)) });
    }
  }
  const plane = x.side * x.side;
  const embedding = Array.from({ length: x.channels }, (_, c) => {
    const values = x.data.subarray(c * plane, (c + 1) * plane);
    return values.reduce((sum, value) => sum + value, 0) / plane;
  });
  const weight = get('fc.weight').data;
  const logits = Array.from(get('fc.bias').data, (bias, k) =>
    embedding.reduce((sum, value, c) => sum + value * at(weight, k * embedding.length + c), bias),
  );
  return { map: x.data, embedding, logits };
}

/** torch.nn.Conv2d with padding (kernel − 1) / 2 and without bias. */
function convolve(input: Maps, { shape, data }: Tensor, stride: number, groups: number): Maps {
  const [channels = 0, fan = 0, kernel = 1] = shape;
  const pad = (kernel - 1) / 2;
  const side = Math.floor((input.side + 2 * pad - kernel) / stride) + 1;
  const output = new Float64Array(channels * side * side);
  const inside = (position: number) => position >= 0 && position < input.side;
  for (let o = 0; o < channels; o++) {
    const first = Math.floor(o / (channels / groups)) * fan;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        let sum = 0;
        for (let f = 0; f < fan; f++) {
          for (let ky = 0; ky < kernel; ky++) {
            for (let kx = 0; kx < kernel; kx++) {
              const [iy, ix] = [y * stride + ky - pad, x * stride + kx - pad];
              if (!inside(iy) || !inside(ix)) continue;
              const weight = at(data, ((o * fan + f) * kernel + ky) * kernel + kx);
              sum += weight * at(input.data, ((first + f) * input.side + iy) * input.side + ix);
            }
          }
        }
        output[(o * side + y) * side + x] = sum;
      }
    }
  }
  return { channels, side, data: output };
}

/** torch.nn.MaxPool2d(3, stride=2, padding=1). */
function maxPool({ channels, side, data }: Maps): Maps {
  const half = Math.floor((side + 2 - 3) / 2) + 1;
  const output = new Float64Array(channels * half * half).fill(-Infinity);
  for (let p = 0; p < output.length; p++) {
    const [c, y, x] = [Math.floor(p / half / half), Math.floor(p / half) % half, p % half];
    for (let iy = Math.max(0, 2 * y - 1); iy <= Math.min(side - 1, 2 * y + 1); iy++) {
      for (let ix = Math.max(0, 2 * x - 1); ix <= Math.min(side - 1, 2 * x + 1); ix++) {
        output[p] = Math.max(at(output, p), at(data, (c * side + iy) * side + ix));
      }
    }
  }
  return { channels, side: half, data: output };
}

function relu(maps: Maps): Maps {
  return map(maps, (value) => Math.max(0, value));
}

function map(maps: Maps, change: (value: number, channel: number) => number): Maps {
  const plane = maps.side * maps.side;
  return { ...maps, data: maps.data.map((value, p) => change(value, Math.floor(p / plane))) };
}

function at(values: Float32Array | Float64Array | undefined, i: number): number {
  return values?.[i] ?? NaN;
}
