import { ZipFile } from 'yazl';

/** Opcodes of Python's pickle protocol 2, in pieces that are joined to a pickle. */
export const pickle = {
  text: (text: string) => bytes('X', u32(Buffer.byteLength(text)), text),
  number: (n: number) => {
    const argument = Buffer.alloc(4);
    argument.writeInt32LE(n);
    return bytes('J', argument);
  },
  none: bytes('N'),
  false: bytes([0x89]),
  tuple: (...items: Buffer[]) => bytes('(', ...items, 't'),
  dict: (...items: Buffer[]) => bytes('}(', ...items, 'u'),
  global: (module: string, name: string) => bytes('c', `${module}\n${name}\n`),
  /** A global named by two texts on the stack, as protocol 4 has it. */
  stackGlobal: (module: string, name: string) => bytes(pickle.text(module), pickle.text(name), [0x93]),
  call: (callable: Buffer, ...args: Buffer[]) => bytes(callable, pickle.tuple(...args), 'R'),
  /** An object made by its class alone, which then gets its attributes. */
  object: (callable: Buffer, attributes: Buffer) => bytes(callable, ')', [0x81], attributes, 'b'),
  whole: (content: Buffer) => bytes([0x80, 2], content, '.'),
};

/** A tensor as torch.save pickles it. */
export function tensor(
  key: string,
  shape: number[],
  {
    storage = 'FloatStorage',
    elements = shape.reduce((a, b) => a * b, 1),
    offset = 0,
    strides = shape.map((_, d) => shape.slice(d + 1).reduce((a, b) => a * b, 1)),
  } = {},
): Buffer {
  const { text, number, tuple, global, call } = pickle;
  const id = [text('storage'), global('torch', storage), text(key), text('cpu'), number(elements)];
  return call(
    global('torch._utils', '_rebuild_tensor_v2'),
    bytes(tuple(...id), 'Q'),
    number(offset),
    tuple(...shape.map(number)),
    tuple(...strides.map(number)),
    pickle.false,
    call(global('collections', 'OrderedDict')),
  );
}

export function floats(...values: number[]): Buffer {
  return Buffer.from(new Float32Array(values).buffer);
}

/** A .pth file in the zip format: its pickle, and the bytes of its storages by key. */
export async function torchZip(
  root: Buffer,
  storages: Record<string, Buffer> = {},
  { compress = false } = {},
): Promise<Buffer> {
  const zip = new ZipFile();
  zip.addBuffer(pickle.whole(root), 'archive/data.pkl', { compress });
  for (const [key, content] of Object.entries(storages)) {
    zip.addBuffer(content, `archive/data/${key}`, { compress });
  }
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** A .pth file in the format before PyTorch 1.6. */
export function torchLegacy(root: Buffer, storages: Record<string, Buffer>): Buffer {
  const magic = bytes([0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);
  const keys = Object.keys(storages).map((key) => bytes(pickle.text(key), 'a'));
  const counted = Object.values(storages).map((content) => bytes(u64(content.length / 4), content));
  return bytes(
    pickle.whole(magic),
    pickle.whole(pickle.number(1001)),
    pickle.whole(pickle.dict()),
    pickle.whole(root),
    pickle.whole(bytes(']', ...keys)),
    ...counted,
  );
}

function bytes(...parts: (string | number[] | Buffer)[]): Buffer {
  return Buffer.concat(parts.map((part) => Buffer.from(part as string)));
}

function u32(n: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(n);
  return buffer;
}

function u64(n: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(n));
  return buffer;
}
