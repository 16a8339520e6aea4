// What users of Google's Node client write, for one version of the API:
//   node cloudsql.mjs FOLDER-WITH-NODE_MODULES ROOT-URL VERSION
// The instances orders and empty of project acme are there. Ends with 1 and a trace at the first surprise.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';

process.on('uncaughtException', (err) => {
  console.error(err.stack);
  process.exit(1);
});

const [folder, rootUrl, version] = process.argv.slice(2);
const { sqladmin } = createRequire(folder + '/')('@googleapis/sqladmin');
const sql = sqladmin({ version, rootUrl });
const prefix = version === 'v1' ? '/v1/' : '/sql/v1beta4/';
const project = 'acme';
const instance = 'orders';

async function done(operation) {
  while (operation.status !== 'DONE') {
    await pause(20);
    operation = (await sql.operations.get({ project, operation: operation.name })).data;
  }
  assert.equal(operation.error, undefined);
  return operation;
}

async function refused(call, code, reason) {
  await assert.rejects(call, (err) => {
    assert.equal(Number(err.code ?? err.status), code);
    assert.equal(err.response.data.error.code, code);
    assert.equal(err.response.data.error.errors[0].reason, reason);
    return true;
  });
}

const ids = [];
for (const description of ['one', 'two', 'three']) {
  const { data: op } = await sql.backupRuns.insert({ project, instance, requestBody: { description } });
  assert.equal(op.kind, 'sql#operation');
  assert.equal(op.operationType, 'BACKUP_VOLUME');
  assert.match(op.backupContext.backupId, /^[0-9]+$/);
  assert.ok(op.selfLink.startsWith(rootUrl + prefix.slice(1)), op.selfLink);
  await done(op);
  ids.unshift(op.backupContext.backupId);
}

const { data: run } = await sql.backupRuns.get({ project, instance, id: ids[0] });
assert.equal(run.id, ids[0]); // a string: int64 is text in JSON
assert.equal(run.status, 'SUCCESSFUL');
assert.equal(run.type, 'ON_DEMAND');
assert.equal(run.description, 'three');
assert.ok(run.selfLink.startsWith(rootUrl + prefix.slice(1)), run.selfLink);

const listed = [];
let pages = 0;
let pageToken;
do {
  const { data: page } = await sql.backupRuns.list({ project, instance, maxResults: 2, pageToken });
  assert.equal(page.kind, 'sql#backupRunsList');
  listed.push(...page.items.map((r) => r.id));
  pageToken = page.nextPageToken;
  pages++;
} while (pageToken);
assert.equal(pages, 2);
assert.deepEqual(listed, ids); // newest first

const { data: none } = await sql.backupRuns.list({ project, instance: 'empty' });
assert.deepEqual(none.items ?? [], []);

const { data: deletion } = await sql.backupRuns.delete({ project, instance, id: ids[1] });
assert.equal(deletion.operationType, 'DELETE_BACKUP');
await done(deletion);
const { data: left } = await sql.backupRuns.list({ project, instance });
assert.deepEqual(left.items.map((r) => r.id), [ids[0], ids[2]]);

await refused(sql.backupRuns.get({ project, instance, id: '7' }), 404, 'backupRunDoesNotExist');
await refused(sql.backupRuns.list({ project, instance: 'none' }), 404, 'instanceDoesNotExist');
await refused(sql.operations.get({ project, operation: 'a/b' }), 404, 'operationDoesNotExist'); // sent as a%2Fb
