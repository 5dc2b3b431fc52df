import { join, resolve } from 'node:path';
import { nameOf } from '../../src/util/file-names.js';

test.each(['csv', 'tsv', 'jsonl', 'ndjson'])(
  'pictures beside a .%s manifest are shown by their path from its folder',
  (ending) => {
    const folder = resolve('photos');
    expect(nameOf(join(folder, `list.${ending}`), join(folder, 'ant', '1.jpg'))).toBe(join('ant', '1.jpg'));
    expect(nameOf(join(folder, `list.${ending}`), resolve('elsewhere', '1.jpg'))).toBe(resolve('elsewhere', '1.jpg'));
  },
);
