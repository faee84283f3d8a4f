// SPDX-License-Identifier: Apache-2.0
// The yardstick for pushes in: node checks the signature with GitHub's own library and says hello. It parses
// nothing and stores nothing. "bare": it does not even check. Prints its port.
import http from 'node:http';
import { verify } from '@octokit/webhooks-methods';

const [secret, bare] = process.argv.slice(2);
const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', async () => {
    const body = Buffer.concat(parts).toString();
    const good = bare || (await verify(secret, body, request.headers['x-hub-signature-256']));
    response.writeHead(good ? 202 : 404, { 'Content-Type': 'application/json' });
    response.end('{"result":"started"}');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
