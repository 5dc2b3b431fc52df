// @ts-check
// Imported before a program (`node --import`), this prints as a JSON list on stderr, at its end, the packages of which it loaded some file.
import { createRequire, register } from 'node:module';
import process from 'node:process';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';

const hooks = `
  let port;
  export async function initialize(data) { port = data.port; }
  export async function load(url, context, next) { port.postMessage(url); return next(url, context); }
`;
const { port1: here, port2: port } = new MessageChannel();
register(`data:text/javascript,${encodeURIComponent(hooks)}`, { data: { port }, transferList: [port] });
here.unref();

process.on('exit', () => {
  const files = Object.keys(createRequire(import.meta.url).cache);
  for (let told = receiveMessageOnPort(here); told; told = receiveMessageOnPort(here)) files.push(String(told.message));
  const names = files.flatMap((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []);
  process.stderr.write(`${JSON.stringify([...new Set(names)].sort())}\n`);
});
