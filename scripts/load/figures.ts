/** What the server says of itself. */
export interface ServerFigures {
  /** Seconds of processor time. */
  cpu: number;
  /** Bytes. */
  memory: number;
  /** That went through the backbone. */
  pictures: number;
  batches: number;
}

export async function serverFigures(url: string): Promise<ServerFigures> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const figure = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
  return {
    cpu: figure('process_cpu_seconds_total'),
    memory: figure('process_resident_memory_bytes'),
    pictures: figure('lastlayer_batch_pictures_sum'),
    batches: figure('lastlayer_batch_pictures_count'),
  };
}

/** Processor time of this process, in seconds. */
export function clientSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
