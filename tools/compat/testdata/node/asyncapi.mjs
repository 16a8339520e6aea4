// The parser of AsyncAPI finds no error in the document, and a message for every type of event.
//   node asyncapi.mjs FOLDER-WITH-NODE_MODULES ROOT-URL
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [folder, root] = process.argv.slice(2);
const { Parser } = createRequire(folder + '/')('@asyncapi/parser');

const answer = await fetch(`${root}/api/v1/asyncapi.json`);
assert.equal(answer.status, 200);
const { document, diagnostics } = await new Parser().parse(await answer.text());
const errors = diagnostics.filter((d) => d.severity === 0);
assert.deepEqual(errors, []);
assert.equal(document.version(), '3.0.0');

const { eventTypes } = await (await fetch(`${root}/api/v1/event-types`)).json();
const names = document.allMessages().all().map((m) => m.name());
assert.deepEqual([...names].sort(), eventTypes.map((t) => t.type).sort());
for (const m of document.allMessages().all()) {
  assert.ok(m.payload() && m.headers(), m.name());
}
