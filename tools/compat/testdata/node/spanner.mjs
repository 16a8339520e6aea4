// What users of Google's Node client of Spanner write, against SPANNER_EMULATOR_HOST:
//   node spanner.mjs FOLDER-WITH-NODE_MODULES
// The instance orders of project acme is there, with the database orders.db. Ends with 1 and a trace at the first surprise.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

process.on('uncaughtException', (err) => {
  console.error(err.stack);
  process.exit(1);
});

const [folder] = process.argv.slice(2);
const { Spanner } = createRequire(folder + '/')('@google-cloud/spanner');
const spanner = new Spanner({ projectId: 'acme' });
const instance = spanner.instance('orders');
const databasePath = 'projects/acme/instances/orders/databases/orders.db';
const day = 24 * 60 * 60 * 1000;
const options = { databasePath, expireTime: Spanner.timestamp(Date.now() + day) };

const backup = instance.backup('first');
assert.equal(await backup.exists(), false);
const [, operation] = await backup.create(options);
assert.equal(operation.metadata.name, backup.formattedName_);
assert.equal(operation.metadata.database, databasePath);
await operation.promise();
assert.equal(await backup.exists(), true);
assert.equal(await backup.getState(), 'READY');
const [info] = await backup.getMetadata();
assert.ok(Number(info.sizeBytes) > 0);
assert.equal(info.database, databasePath);

await assert.rejects(instance.backup('first').create(options), (err) => err.code === 6);
await assert.rejects(instance.backup('Wrong').create(options), (err) => err.code === 3);
await assert.rejects(instance.backup('short').create({ databasePath, expireTime: Spanner.timestamp(Date.now() + day / 24) }), (err) => err.code === 3);
await assert.rejects(instance.backup('none').create({ ...options, databasePath: databasePath.replace('orders.db', 'none.db') }), (err) => err.code === 5);

const second = instance.backup('second');
const [, running] = await second.create(options);
await running.cancel();
try {
  await running.getOperation();
  assert.equal(running.done, true); // faster than the cancel
} catch (err) {
  assert.equal(err.code, 1);
}

const later = Spanner.timestamp(Date.now() + 3 * day);
await backup.updateExpireTime(later);
assert.equal((await backup.getExpireTime()).getTime(), later.getTime());

const [list] = await instance.getBackups({ filter: 'state:READY AND name:first' });
assert.deepEqual(list.map((b) => b.id), ['first']);
const [operations] = await instance.getBackupOperations({
  filter: `(metadata.@type:type.googleapis.com/google.spanner.admin.database.v1.CreateBackupMetadata)\n    AND (metadata.name:${backup.formattedName_})`,
});
assert.equal(operations.length, 1);
assert.equal(operations[0].done, true);

await backup.delete();
await backup.delete();
assert.equal(await backup.exists(), false);
spanner.close();
process.exit(0);
