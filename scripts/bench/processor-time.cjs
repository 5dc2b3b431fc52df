// Required before a program (`node --require`), this writes the processor time that it took, in µs, to the file that PROCESSOR_TIME names.
const { writeFileSync } = require('node:fs');
const process = require('node:process');

process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  writeFileSync(process.env.PROCESSOR_TIME, String(user + system));
});
