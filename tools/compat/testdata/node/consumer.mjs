// What users of the NATS client for Node write: a command with an answer, and events from a durable consumer.
//   node consumer.mjs FOLDER-WITH-NODE_MODULES NATS-URL CONSUMER
// The instance orders of project acme is there, the consumer starts with the oldest event.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [folder, servers, name] = process.argv.slice(2);
const require = createRequire(folder + '/');
const { connect, headers } = require('@nats-io/transport-node');
const { jetstream } = require('@nats-io/jetstream');

const nc = await connect({ servers });
const js = jetstream(nc);

// A command, and the copy of its outcome (events.md 5.1, 5.2).
const reply = 'backupbus.v1.reply.acme.x1';
const answers = nc.subscribe(reply, { max: 1, timeout: 30_000 });
const h = headers();
for (const [key, value] of [
  ['ce-specversion', '1.0'],
  ['ce-type', 'dev.backupbus.command.backup.create.v1'],
  ['ce-source', '/ops/cron'],
  ['ce-id', 'nightly-2026-01-15'],
  ['Backupbus-Reply-To', reply],
])
  h.set(key, value);
const subject = 'backupbus.v1.command.acme._.orders.backup.create';
const stored = await js.publish(subject, JSON.stringify({ instance: 'orders' }), { headers: h });
assert.equal(stored.stream, 'BACKUP_COMMANDS');
let outcome;
for await (const m of answers) {
  assert.equal(m.headers.get('ce-type'), 'dev.backupbus.request.accepted.v1');
  outcome = m.json();
}
assert.match(outcome.backupId, /^bk_[a-z2-7]{26}$/);

// The consumer: drop what is not higher than the highest sequence of its source, then ack (events.md 6.1).
const consumer = await js.consumers.get('BACKUP_EVENTS', name);
const highest = new Map();
const types = [];
for await (const m of await consumer.consume({ max_messages: 10 })) {
  const source = m.headers.get('ce-source');
  const sequence = m.headers.get('ce-sequence');
  assert.equal(Number(sequence), Number(highest.get(source) ?? 0) + 1, `${source} has a gap`);
  highest.set(source, sequence);
  const type = m.headers.get('ce-type');
  types.push(type);
  assert.ok(await m.ackAck());
  if (type === 'dev.backupbus.backup.succeeded.v1') {
    assert.equal(m.json().backupId, outcome.backupId);
    break;
  }
}
assert.ok(types.includes('dev.backupbus.instance.registered.v1'), types.join());
assert.ok(types.includes('dev.backupbus.backup.requested.v1'), types.join());
assert.equal((await consumer.info()).num_ack_pending, 0);
await nc.drain();
