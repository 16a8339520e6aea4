// What users of the npm package eventsource write: it follows a stream and prints each event's id, until one of the
// type LAST has come.
//   node stream.mjs FOLDER-WITH-NODE_MODULES URL LAST
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, url, last] = process.argv.slice(2);
const { EventSource } = await import(pathToFileURL(createRequire(folder + '/').resolve('eventsource')));

const stream = new EventSource(url);
// An EventSource has no listener for all types: each is named.
const types = ['instance.registered', 'backup.requested', 'backup.started', 'backup.updated', 'backup.succeeded', 'request.accepted'];
for (const name of types) {
  const type = `dev.backupbus.${name}.v1`;
  stream.addEventListener(type, (e) => {
    console.log(`${e.lastEventId} ${JSON.parse(e.data).id}`);
    if (type === last) {
      stream.close();
    }
  });
}
