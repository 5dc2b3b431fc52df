import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readCheckpoint } from '../../src/backbone/checkpoint/read.js';
import { LastlayerError } from '../../src/util/errors.js';
import { temporaryFolder } from '../support/files.js';
import { floats, pickle, tensor, torchLegacy, torchZip } from '../support/torch-file.js';

const folder = await temporaryFolder();
const path = join(folder, 'model.pth');

const { text, number, none, dict, tuple, global, stackGlobal, call, object } = pickle;

async function read(file: Buffer, onNotice?: (line: string) => void) {
  return Object.fromEntries(
    [...(await readCheckpoint(file, path, onNotice))].map(([name, { shape, data }]) => [name, [shape, [...data]]]),
  );
}

/** Reads a file that must be refused, and gives the reason. */
async function refusal(file: Buffer): Promise<string> {
  const error: unknown = await readCheckpoint(file, path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(LastlayerError);
  const { message } = error as LastlayerError;
  expect(message).toContain('model.pth');
  return message;
}

const W = dict(text('w'), tensor('0', [2, 2]));

describe('a checkpoint', () => {
  it('is read in both of torch’s formats', async () => {
    const expected = {
      w: [
        [2, 2],
        [1, 2, 3, 4],
      ],
    };
    expect(await read(await torchZip(W, { 0: floats(1, 2, 3, 4) }))).toEqual(expected);
    expect(await read(torchLegacy(W, { 0: floats(1, 2, 3, 4) }))).toEqual(expected);
  });

  it('may have tensors that share a storage, start inside it and run across it', async () => {
    const root = dict(
      text('second'),
      tensor('0', [2], { elements: 6, offset: 1 }),
      text('transposed'),
      tensor('0', [3, 2], { elements: 6, strides: [1, 3] }),
      text('scalar'),
      tensor('0', [], { elements: 6, offset: 5 }),
      text('none'),
      tensor('0', [0, 4], { elements: 6 }),
    );
    expect(await read(await torchZip(root, { 0: floats(1, 2, 3, 4, 5, 6) }))).toEqual({
      second: [[2], [2, 3]],
      transposed: [
        [3, 2],
        [1, 4, 2, 5, 3, 6],
      ],
      scalar: [[], [6]],
      none: [[0, 4], []],
    });
  });

  it('may have numbers of other types', async () => {
    const root = dict(
      text('half'),
      tensor('0', [3], { storage: 'HalfStorage' }),
      text('bfloat'),
      tensor('1', [2], { storage: 'BFloat16Storage' }),
      text('double'),
      tensor('2', [1], { storage: 'DoubleStorage' }),
      text('long'),
      tensor('3', [1], { storage: 'LongStorage' }),
    );
    const storages = {
      0: Buffer.from(Uint16Array.of(0x3c00, 0xc000, 0x0001).buffer), // 1, −2, the smallest above 0
      1: Buffer.from(Uint16Array.of(0x3f80, 0xc0a0).buffer), // 1, −5
      2: Buffer.from(Float64Array.of(0.1).buffer),
      3: Buffer.from(BigInt64Array.of(-7n).buffer),
    };
    expect(await read(await torchZip(root, storages))).toEqual({
      half: [[3], [1, -2, 2 ** -24]],
      bfloat: [[2], [1, -5]],
      double: [[1], [Math.fround(0.1)]],
      long: [[1], [-7]],
    });
  });

  /** The first tensors of a ResNet, under names with a prefix, and others. */
  const network = (prefix: string, ...others: string[]): Buffer =>
    dict(
      ...['conv1.weight', 'layer1.0.conv1.weight'].flatMap((name) => [text(prefix + name), tensor('0', [1])]),
      ...others.flatMap((name) => [text(name), tensor('0', [1])]),
    );
  const RESNET = { 'conv1.weight': [[1], [5]], 'layer1.0.conv1.weight': [[1], [5]] };

  it.each([
    ['PyTorch’s ImageNet example', 'state_dict', 'module.'],
    ['torch.compile', 'model', 'module._orig_mod.'],
    ['the tutorial on checkpoints', 'model_state_dict', ''],
    ['a net', 'net', 'module.'],
    ['Lightning', 'state_dict', 'model.'],
    ['a moving average', 'ema', 'backbone.'],
  ])('of %s is opened, and the names that wrappers gave are mended', async (_, key, prefix) => {
    const run = dict(
      ...[text('epoch'), number(3), text('lr'), none, text('best_acc1'), tensor('0', [1])],
      ...[text('optimizer'), dict(text('momentum'), tensor('0', [1])), text(key), network(prefix)],
    );
    const notices: string[] = [];
    expect(await read(await torchZip(run, { 0: floats(5) }), (line) => notices.push(line))).toEqual(RESNET);
    expect(notices).toEqual([
      `The weights of ${path} are in its ${key}.`,
      ...(prefix === '' ? [] : [`The weights of ${path} have ${prefix} before their names, which is left out.`]),
    ]);
  });

  it('of weights alone needs no notice', async () => {
    const notices: string[] = [];
    await read(await torchZip(network(''), { 0: floats(5) }), (line) => notices.push(line));
    expect(notices).toEqual([]);
  });

  it('is read without what is beside the network', async () => {
    const averaged = network('module.', 'n_averaged', 'queue');
    expect(await read(await torchZip(averaged, { 0: floats(5) }))).toEqual(RESNET);
    const nested = dict(text('state_dict'), dict(text('model'), network('backbone.', 'head.weight')));
    expect(await read(await torchZip(nested, { 0: floats(5) }))).toEqual(RESNET);
    // What has no prefix is whole, whatever else there is.
    const own = await read(await torchZip(network('', 'ema.conv1.weight', 'fc.1.weight'), { 0: floats(5) }));
    expect(Object.keys(own)).toEqual([...Object.keys(RESNET), 'ema.conv1.weight', 'fc.1.weight']);
  });

  it('of several networks is refused with their names, as are dicts of other names', async () => {
    const two = ['encoder_q.', 'encoder_k.'].flatMap((prefix) =>
      Object.keys(RESNET).flatMap((name) => [text(prefix + name), tensor('0', [1])]),
    );
    expect(await refusal(await torchZip(dict(...two), { 0: floats(5) }))).toMatch(
      /several networks, under encoder_q\., encoder_k\.\. .*name\[10:\].*startswith\("encoder_q\."\)/,
    );
    const other = dict(text('my_weights'), network(''), text('optimizer'), dict(text('momentum'), tensor('0', [1])));
    expect(await refusal(await torchZip(other, { 0: floats(5) }))).toMatch(
      /no tensors itself, but dicts of tensors named my_weights, optimizer\. .*\["my_weights"\]/,
    );
  });

  it('may use any text as a name', async () => {
    const root = dict(text('__proto__'), tensor('0', [1]), text('constructor'), tensor('0', [1]));
    const file = await torchZip(root, { 0: floats(5) });
    const names = [...(await readCheckpoint(file, path)).keys()];
    expect(names).toEqual(['__proto__', 'constructor']);
    expect(({} as Record<string, unknown>).shape).toBeUndefined();
  });
});

describe('what is beside the weights', () => {
  const witness = join(folder, 'witness');
  const weights = dict(text('layer1.0.conv1.weight'), tensor('0', [1]));
  const read1 = { 'layer1.0.conv1.weight': [[1], [5]] };
  const run = call(global('os', 'system'), text(`touch ${witness}`));
  const BINARY = Buffer.from('C\u0002ab', 'latin1');

  it.each<[string, Buffer]>([
    ['arguments', object(global('argparse', 'Namespace'), dict(text('lr'), number(1), text('device'), none))],
    ['a counter', Buffer.concat([call(global('collections', 'Counter'), dict()), Buffer.from('(K\u0003K\u0001u')])],
    ['a queue', Buffer.concat([call(global('collections', 'deque')), Buffer.from('(K\u0003K\u0001e')])],
    ['a type', global('torch', 'float16')],
    [
      'a number of NumPy',
      call(global('numpy.core.multiarray', 'scalar'), call(global('numpy', 'dtype'), text('f2')), BINARY),
    ],
    ['a whole network', object(global('torchvision.models.resnet', 'ResNet'), dict(text('w'), tensor('0', [1])))],
    ['a call', run],
    ['the result of a result', call(run, run)],
  ])('is never called, whatever it is: %s', async (_, other) => {
    for (const root of [
      dict(text('args'), other, text('state_dict'), weights),
      dict(text('args'), other, text('x.y'), tensor('0', [1])),
    ]) {
      for (const file of [await torchZip(root, { 0: floats(5) }), torchLegacy(root, { 0: floats(5) })]) {
        const found = await read(file);
        expect(Object.values(found)).toEqual(Object.values(read1));
      }
    }
    expect(existsSync(witness)).toBe(false);
  });

  it.each<[string, Buffer]>([
    ['a tensor', dict(text('state_dict'), dict(text('conv1.weight'), run, text('x.y'), tensor('0', [1])))],
    ['a tensor of no dict', dict(text('conv1.weight'), run, text('x.y'), tensor('0', [1]))],
    ['the weights', dict(text('model'), run, text('best_acc1'), tensor('0', [1]))],
    ['everything', dict(text('epoch'), number(1), text('net'), run)],
  ])('is refused by name in the place of %s', async (_, root) => {
    const reason = await refusal(await torchZip(root, { 0: floats(5) }));
    expect(reason).toMatch(
      /at byte \d+ its pickle holds the global os\.system, .*in the place of weights\. Nothing was run/,
    );
    expect(existsSync(witness)).toBe(false);
  });

  it('is no reason to hide the dicts of tensors that there are', async () => {
    const root = dict(text('args'), run, text('my_weights'), weights);
    expect(await refusal(await torchZip(root, { 0: floats(5) }))).toMatch(/dicts of tensors named my_weights/);
  });

  it('cannot stand for a part of a tensor', async () => {
    const parts = call(
      global('torch._utils', '_rebuild_tensor_v2'),
      run,
      number(0),
      tuple(number(1)),
      tuple(number(1)),
    );
    expect(await refusal(await torchZip(dict(text('w'), parts)))).toMatch(
      /_rebuild_tensor_v2 with arguments that make no/,
    );
  });
});

describe('a malicious checkpoint', () => {
  const witness = join(folder, 'witness');

  it.each([
    ['os.system', call(global('os', 'system'), text(`touch ${witness}`))],
    ['posix.system', call(stackGlobal('posix', 'system'), text(`touch ${witness}`))],
    ['builtins.eval', call(global('builtins', 'eval'), text('1'))],
    ['subprocess.Popen', dict(text('w'), call(global('subprocess', 'Popen'), text(`touch ${witness}`)))],
    ['torch.load', global('torch', 'load')],
    ['collections.OrderedDict.__init__', global('collections', 'OrderedDict.__init__')],
    ['Object.constructor', global('Object', 'constructor')],
  ])('that names %s is refused by that name and runs nothing', async (name, content) => {
    for (const file of [await torchZip(content), torchLegacy(content, {})]) {
      const reason = await refusal(file);
      expect(reason).toContain(`the global ${name}`);
      expect(reason).toContain('Nothing was run');
    }
    expect(existsSync(witness)).toBe(false);
  });

  it.each<[string, string, RegExp]>([
    ['makes objects', '(cbuiltins\nobject\no', /opcode 0x6f|global builtins\.object/],
    ['makes instances', 'c_\n__\n', /global _\.__/],
    ['uses the extension registry', '\x82\x01', /opcode 0x82/],
    ['builds frozen sets', '(\x91', /opcode 0x91/],
    ['recalls what it never stored', 'h\x05', /reference to 5/],
    ['pops an empty stack', '\x85', /nothing on the stack/],
    ['has no mark', 't', /no mark/],
    ['calls a text', 'X\x01\x00\x00\x00a)R', /a call of something that is not a global/],
    ['calls a storage', 'ctorch\nFloatStorage\n)R', /a call of torch\.FloatStorage/],
    ['appends to a dict', '}Na', /not a list/],
    ['sets attributes on a list', ']}b', /not an OrderedDict/],
    ['names a storage that is none', ')Q', /not a tensor's storage/],
  ])('whose pickle %s is refused', async (_, opcodes, reason) => {
    expect(await refusal(await torchZip(Buffer.from(opcodes, 'latin1')))).toMatch(reason);
  });

  it('whose tensors reach beyond their storage is refused by the tensor’s name', async () => {
    const storages = { 0: floats(1, 2, 3) };
    expect(await refusal(await torchZip(W, storages))).toMatch(
      /tensor w needs 4 elements of its storage, which holds 3/,
    );
    const beyond = dict(text('w'), tensor('0', [1], { offset: 3 }));
    expect(await refusal(await torchZip(beyond, storages))).toMatch(/tensor w needs 4 elements/);
    expect(await refusal(await torchZip(dict(text('w'), tensor('9', [1])), storages))).toMatch(/lacks the storage 9/);
  });

  it('that would grow without bound is refused', async () => {
    const huge = dict(text('w'), tensor('0', [2 ** 30, 2 ** 20], { elements: 1, strides: [0, 0] }));
    expect(await refusal(await torchZip(huge, { 0: floats(1) }))).toMatch(/storage only 1/);
    const again = Array.from({ length: 100 }, (_, i) => [text(`w${i}`), tensor('0', [4])]).flat();
    expect(await refusal(await torchZip(dict(...again), { 0: floats(1, 2, 3, 4) }))).toMatch(/again and again/);
    // Two elements, one at either end: little to keep, but all of the storage to go through, each time.
    const apart = Array.from({ length: 30 }, (_, i) => [
      text(`w${i}`),
      tensor('0', [2], { elements: 10_000, strides: [9999] }),
    ]);
    const storage = floats(...Array.from({ length: 10_000 }, () => 1));
    expect(await refusal(await torchZip(dict(...apart.flat()), { 0: storage }))).toMatch(/again and again/);
    // A list of pairs that is stored once and made a dict of 1000 times.
    const pair = tuple(text('a'), number(1));
    const list = [Buffer.from(']('), ...Array.from({ length: 500 }, () => pair), Buffer.from('eq\x05')];
    const copies = Array.from({ length: 1000 }, () => call(global('collections', 'OrderedDict'), Buffer.from('h\x05')));
    expect(await refusal(await torchZip(tuple(Buffer.concat(list), ...copies)))).toMatch(/again and again/);
    const dimensions = dict(
      text('w'),
      tensor(
        '0',
        Array.from({ length: 100 }, () => 1),
      ),
    );
    expect(await refusal(await torchZip(dimensions, { 0: floats(1) }))).toMatch(/make no sense/);
    expect(await refusal(await torchZip(W, { 0: floats(1, 2, 3, 4) }, { compress: true }))).toMatch(/compressed/);
  });
});

describe('an archive', () => {
  it('whose files are all the same bytes is no reason to take more memory', async () => {
    const [count, elements] = [40, 10_000];
    const entries = Array.from({ length: count }, (_, i) => [text(`w${i}`), tensor(String(i), [elements])]);
    const block = Buffer.alloc(4 * elements, 1);
    const storages = Object.fromEntries([...Array(count).keys()].map((i) => [i, i === 0 ? block : floats()]));
    const zip = await torchZip(dict(...entries.flat()), storages);
    shareOneFile(zip, block.length);
    expect(await refusal(zip)).toMatch(/again and again/);
  });
});

describe('a damaged checkpoint', () => {
  it('that is cut off anywhere is refused', async () => {
    const files = [await torchZip(W, { 0: floats(1, 2, 3, 4) }), torchLegacy(W, { 0: floats(1, 2, 3, 4) })];
    for (const file of files) {
      for (let length = 0; length < file.length; length += 7) {
        expect(await refusal(file.subarray(0, length))).toMatch(/cut off|not the whole of it|not a checkpoint/);
      }
    }
  });

  it('that holds no tensors is refused', async () => {
    expect(await refusal(await torchZip(dict(text('epoch'), number(1))))).toMatch(/no tensors/);
    expect(await refusal(await torchZip(tuple(number(1))))).toMatch(/no dict of tensors/);
  });
});

/** Lets all storages of an archive be the first one's bytes, by its central directory. */
function shareOneFile(zip: Buffer, length: number): void {
  let first: Buffer | undefined;
  for (let at = zip.indexOf('PK\u0001\u0002'); at >= 0; at = zip.indexOf('PK\u0001\u0002', at + 4)) {
    const name = zip.toString('latin1', at + 46, at + 46 + zip.readUInt16LE(at + 28));
    if (!name.startsWith('archive/data/')) continue;
    first ??= Buffer.from(zip.subarray(at, at + 46));
    // Check sum, sizes and place.
    first.copy(zip, at + 16, 16, 28);
    first.copy(zip, at + 42, 42, 46);
    expect(zip.readUInt32LE(at + 24)).toBe(length);
  }
}
