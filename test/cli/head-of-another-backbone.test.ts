import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { saveHead } from '../../src/head/file.js';
import { lastlayer } from '../support/command-line.js';
import { stripes, temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
const picture = join(folder, 'picture.png');
await writeFile(picture, await stripes(0, 1));
await writeFile(join(folder, 'small.onnx'), smallNetwork());
const { id, transformId, width } = await loadBackbone({ model: join(folder, 'small.onnx') });
await saveHead(join(folder, 'other.safetensors'), madeUpHead({ id: 'other@0123', transformId, width }));
await saveHead(join(folder, 'wide.safetensors'), madeUpHead({ id, transformId, width: width + 1 }));

/** What each command says of a head, having ended with 1 and given nothing. */
async function refusals(head: string, commands: Record<string, string[]>): Promise<string[]> {
  const outcomes = Object.entries(commands).map(([command, args]) =>
    lastlayer([command, ...args, '--head', head, '--model', 'small.onnx'], folder),
  );
  return (await Promise.all(outcomes)).map(({ code, stdout, stderr }) => {
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    return stderr;
  });
}

// That export and serve refuse it, too, their own tests say.
it('a head of another backbone is refused, and both are named', async () => {
  for (const message of await refusals('other.safetensors', { predict: [picture], evaluate: [folder] })) {
    expect(message).toContain(
      `Error: other.safetensors: The head was trained on embeddings of other@0123, but the backbone in use is ${id} (${folder}`,
    );
  }
});

it('a head that says it is of the backbone and has another width is refused', async () => {
  const commands = { predict: [picture], evaluate: [folder], export: [], serve: ['--port', '0'] };
  for (const message of await refusals('wide.safetensors', commands)) {
    expect(message).toContain(
      `Error: wide.safetensors: The head is damaged: it reads embeddings of ${width + 1} numbers, and those of ${id} have ${width}.`,
    );
  }
});
