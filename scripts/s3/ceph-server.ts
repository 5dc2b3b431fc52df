import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.js';

const KEY = { id: 'lastlayer', secret: 'of-tests-alone' };

/** The gateway takes ten seconds to create its pools, and longer on a busy machine. */
const READY_WITHIN_MS = 120_000;

/** Whether Ceph is installed: Debian's packages ceph-mon, ceph-osd and radosgw. */
export function hasCeph(): boolean {
  return ['ceph-mon', 'ceph-osd', 'radosgw'].every((name) => spawnSync(name, ['--version']).status === 0);
}

/** Ceph's S3 gateway on free ports of this machine, over a cluster of one node that keeps everything in memory. */
export class CephServer {
  private readonly children: ChildProcess[] = [];

  private constructor(
    private readonly folder: string,
    private readonly port: number,
  ) {}

  /** @param folder for its logs and sockets; its path must be short */
  static async start(folder: string): Promise<CephServer> {
    const server = new CephServer(folder, await freePort());
    try {
      await server.launch(await freePort());
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** Environment variables for LanceDB and other clients. */
  get env(): Record<string, string> {
    return {
      AWS_ACCESS_KEY_ID: KEY.id,
      AWS_SECRET_ACCESS_KEY: KEY.secret,
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT: `http://127.0.0.1:${this.port}`,
      AWS_ALLOW_HTTP: 'true',
    };
  }

  async createBucket(name: string): Promise<void> {
    // https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
    const date = new Date().toUTCString();
    const signature = createHmac('sha1', KEY.secret).update(`PUT\n\n\n${date}\n/${name}`).digest('base64');
    const headers = { date, authorization: `AWS ${KEY.id}:${signature}` };
    const { status } = await fetch(`http://127.0.0.1:${this.port}/${name}`, { method: 'PUT', headers });
    if (status !== 200) throw new Error(`Cannot create the bucket ${name}: ${status}.`);
  }

  async stop(): Promise<void> {
    for (const child of this.children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    }
  }

  private async launch(monitorPort: number): Promise<void> {
    const { folder } = this;
    const [cluster, disk, map] = [randomUUID(), randomUUID(), join(folder, 'map')];
    await mkdir(join(folder, 'mon'));
    await mkdir(join(folder, 'osd'));
    await writeFile(join(folder, 'ceph.conf'), configuration(folder, cluster, monitorPort, this.port));
    const monitor = `[v2:127.0.0.1:${monitorPort}]`;
    this.run('monmaptool', '--create', '--fsid', cluster, '--addv', 'a', monitor, map);
    this.run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map);
    this.spawn('ceph-mon', '-i', 'a', '-f');
    this.run('ceph', 'osd', 'new', disk);
    this.run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', disk);
    this.spawn('ceph-osd', '-i', '0', '-f');
    const gateway = this.spawn('radosgw', '-n', 'client.rgw', '-f');
    await this.untilReady(gateway);
    const key = [`--access-key=${KEY.id}`, `--secret-key=${KEY.secret}`];
    this.run('radosgw-admin', 'user', 'create', '--uid=lastlayer', '--display-name=lastlayer', ...key);
  }

  private async untilReady(gateway: ChildProcess): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    const answers = () =>
      fetch(`http://127.0.0.1:${this.port}`).then(
        () => true,
        () => false,
      );
    while (!(await answers())) {
      if (gateway.exitCode !== null || Date.now() > deadline) {
        throw new Error(`Ceph's gateway does not answer. Its logs are in ${this.folder}.`);
      }
      await delay(200);
    }
  }

  private run(command: string, ...args: string[]): void {
    const log = openSync(join(this.folder, 'commands.log'), 'a');
    try {
      execFileSync(command, args, { env: this.ownEnv, stdio: ['ignore', log, log] });
    } finally {
      closeSync(log);
    }
  }

  private spawn(command: string, ...args: string[]): ChildProcess {
    const child = spawn(command, args, { env: this.ownEnv, stdio: 'ignore' });
    child.on('error', () => undefined);
    this.children.push(child);
    return child;
  }

  private get ownEnv(): NodeJS.ProcessEnv {
    return { ...process.env, CEPH_CONF: join(this.folder, 'ceph.conf') };
  }
}

/** One copy of everything, in memory, and no authentication between the daemons, which listen only on this machine. */
function configuration(folder: string, cluster: string, monitorPort: number, port: number): string {
  const options = {
    fsid: cluster,
    'mon host': `v2:127.0.0.1:${monitorPort}`,
    'public addr': '127.0.0.1',
    'ms bind msgr1': false,
    'auth cluster required': 'none',
    'auth service required': 'none',
    'auth client required': 'none',
    // Without authentication there are no keys to encrypt with.
    'ms mon cluster mode': 'crc',
    'ms mon service mode': 'crc',
    'ms mon client mode': 'crc',
    'osd pool default size': 1,
    'osd pool default pg num': 1,
    'osd pool default pg autoscale mode': 'off',
    'mon allow pool size one': true,
    'osd crush chooseleaf type': 0,
    'osd objectstore': 'memstore',
    'memstore device bytes': 4 * 2 ** 30,
    'run dir': folder,
    'admin socket': join(folder, '$name.asok'),
    'log file': join(folder, '$name.log'),
    'mon data': join(folder, 'mon'),
    'osd data': join(folder, 'osd'),
    'rgw frontends': `beast endpoint=127.0.0.1:${port}`,
  };
  const lines = Object.entries(options).map(([name, value]) => `${name} = ${value}`);
  return ['[global]', ...lines, ''].join('\n');
}
