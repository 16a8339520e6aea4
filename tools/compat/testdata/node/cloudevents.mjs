// The CloudEvents SDK for JavaScript reads a page, a single event and an event of the stream.
//   node cloudevents.mjs FOLDER-WITH-NODE_MODULES URL-OF-EVENTS
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [folder, url] = process.argv.slice(2);
const { CloudEvent, HTTP } = createRequire(folder + '/')('cloudevents');

async function get(address, accept) {
  const answer = await fetch(address, { headers: { accept } });
  assert.equal(answer.status, 200, await answer.clone().text().catch(() => ''));
  return { headers: Object.fromEntries(answer.headers), body: await answer.text() };
}

function check(event) {
  assert.ok(event instanceof CloudEvent);
  assert.ok(event.validate());
  assert.match(event.type, /^dev\.backupbus\.[a-z]+\.[a-z_]+\.v1$/);
  assert.equal(event.project, 'acme');
  assert.equal(event.datacontenttype, 'application/json');
  assert.equal(event.data.project, 'acme');
  return event.id;
}

const page = await get(url, 'application/cloudevents-batch+json');
const all = HTTP.toEvent(page);
assert.ok(Array.isArray(all) && all.length >= 3, page.body);
all.forEach(check);

const one = HTTP.toEvent(await get(`${url}/${all[1].id}`, 'application/cloudevents+json'));
assert.equal(check(one), all[1].id);

const stop = new AbortController();
const stream = await fetch(`${url}?since=2020-01-01T00:00:00Z`, { headers: { accept: 'text/event-stream' }, signal: stop.signal });
let text = '';
const decoder = new TextDecoder();
for await (const chunk of stream.body) {
  text += decoder.decode(chunk, { stream: true });
  if ((text.match(/^data: .*\n/gm) ?? []).length >= all.length) break;
}
stop.abort();
const told = text
  .match(/^data: .*$/gm)
  .slice(0, all.length)
  .map((line) => HTTP.toEvent({ headers: { 'content-type': 'application/cloudevents+json' }, body: line.slice('data: '.length) }));
assert.deepEqual(told.map(check), all.map((e) => e.id));
