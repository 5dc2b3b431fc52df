import { pageFile } from '../../src/util/page-files.js';

test('scripts and styles are bundled with what they import, other files stay as they are', async () => {
  expect(await pageFile('report/page.js')).not.toMatch(/^import /m);
  const style = await pageFile('report/page.css');
  expect(style).toMatch(/--accent: ?#2f6fd0/);
  expect(style).not.toContain('@import');
  expect(await pageFile('server/page.html')).toMatch(/^<!doctype html>\n/);
});

test('a bundle begins with the licences of the packages in it', async () => {
  const page = await pageFile('label/page.js');
  for (const name of ['preact', '@preact/signals', '@preact/signals-core', '@tanstack/virtual-core']) {
    expect(page).toMatch(new RegExp(`^/\\*! ${name} \\d[^]*?Copyright[^]*?^\\*/$`, 'm'));
  }
  expect(await pageFile('report/page.js')).not.toContain('Copyright');
});

test('a page that is not there is an error that names it', async () => {
  await expect(pageFile('nothing/page.js')).rejects.toThrow(/nothing\/page/);
  await expect(pageFile('nothing/page.html')).rejects.toThrow(/nothing\/page\.html/);
});
