// SPDX-License-Identifier: Apache-2.0
// Lines {"pattern", "names"} -> lines [matches...], by picomatch in the part of its dialect that GitHub's has too.
import picomatch from 'picomatch';
import readline from 'node:readline';

const options = { dot: true, nobrace: true, noextglob: true, nonegate: true, strictSlashes: true, fastpaths: false };
const out = [];
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { pattern, names } = JSON.parse(line);
  const matches = picomatch(pattern, options);
  out.push(JSON.stringify(names.map((name) => matches(name))));
}
process.stdout.write(out.join('\n') + '\n');
