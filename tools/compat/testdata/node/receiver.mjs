// A receiver of webhooks with the npm packages standardwebhooks (verify) and cloudevents (HTTP.toEvent). It prints its
// address, reads one line {path: secret}, then prints a line for each request, until its input ends.
//   node receiver.mjs FOLDER-WITH-NODE_MODULES
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(process.argv[2] + '/');
const { CloudEvent, HTTP } = require('cloudevents');
const { Webhook, WebhookVerificationError } = require('standardwebhooks');

const lines = createInterface({ input: process.stdin });
const secrets = new Promise((resolve) => lines.once('line', (line) => resolve(JSON.parse(line))));
lines.once('close', () => process.exit(0));

async function accept(path, headers, body) {
  const webhook = new Webhook((await secrets)[path]);
  webhook.verify(body, headers);
  const changed = body.replace('acme', 'evil');
  assert.notEqual(changed, body);
  assert.throws(() => webhook.verify(changed, headers), WebhookVerificationError);
  const event = HTTP.toEvent({ headers, body });
  assert.ok(event instanceof CloudEvent && event.validate());
  assert.equal(event.id, headers['webhook-id']);
  assert.equal(event.project, 'acme');
  return { id: event.id, type: event.type, source: event.source, data: event.data };
}

const server = createServer((request, response) => {
  if (request.method === 'OPTIONS') {
    response.setHeader('WebHook-Allowed-Origin', request.headers['webhook-request-origin']);
    response.setHeader('WebHook-Allowed-Rate', '*');
    response.end();
    return;
  }
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    const path = request.url;
    try {
      const event = await accept(path, request.headers, Buffer.concat(chunks).toString());
      response.writeHead(204).end();
      console.log(JSON.stringify({ path, event }));
    } catch (error) {
      response.writeHead(401).end();
      console.log(JSON.stringify({ path, wrong: String(error) }));
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
