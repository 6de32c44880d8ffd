// The steps of the matrix with node-zookeeper-client. Arguments: the connect string, then the steps
// to do.
//
// Prints of each "ok NAME" or "FAILED NAME: why". Where a step needs something done to the servers
// it prints "please WHAT" and waits for a line.
'use strict';

const assert = require('assert');
const readline = require('readline');
const { promisify } = require('util');
const zookeeper = require('node-zookeeper-client');

const { ACL, CreateMode, Event, Exception, Id, Permission } = zookeeper;
const TIMEOUT = 30000;
const [hosts, ...names] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function within(milliseconds, what, begin) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('never: ' + what)), milliseconds);
    begin((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

/** A client whose calls return promises. */
async function open() {
  const zk = zookeeper.createClient(hosts, { sessionTimeout: TIMEOUT, spinDelay: 100 });
  const call = {};
  for (const name of ['create', 'exists', 'getData', 'setData', 'getChildren', 'remove', 'getACL', 'setACL']) {
    // Calls with two results hand on both.
    call[name] = async (...given) => {
      const [error, first, second] = await within(2 * TIMEOUT, 'an answer to ' + name, (done) => {
        zk[name](...given, (...answer) => done(answer));
      });
      if (error) {
        throw error;
      }
      return second === undefined ? first : [first, second];
    };
  }
  await within(TIMEOUT, 'connected', (done) => {
    zk.once('connected', done);
    zk.connect();
  });
  return { ...call, zk };
}

function session(client) {
  return client.zk.getSessionId().toString('hex');
}

async function close(...clients) {
  for (const { zk } of clients) {
    await within(TIMEOUT, 'closed', (done) => {
      zk.once('disconnected', done);
      zk.close();
    });
  }
}

async function fails(code, promise) {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.getCode && error.getCode(), code, String(error));
    return;
  }
  assert.fail('no error ' + code);
}

/** A watcher, and what it is told. */
function watcher() {
  const told = [];
  let wake = () => {};
  const watch = (event) => {
    told.push(event);
    wake();
  };
  const expect = async (type, path) => {
    if (told.length === 0) {
      await within(15000, 'an event for ' + path, (done) => { wake = done; });
    }
    const event = told.shift();
    assert.deepStrictEqual([event.type, event.path], [type, path]);
  };
  return { watch, expect };
}

async function connect() {
  const client = await open();
  assert.strictEqual(client.zk.getState(), zookeeper.State.SYNC_CONNECTED);
  assert.strictEqual(client.zk.getSessionTimeout(), TIMEOUT);
  assert.notStrictEqual(session(client), '0000000000000000');
  await close(client);
}

async function crud() {
  const client = await open();
  assert.strictEqual(await client.create('/crud', Buffer.from('one')), '/crud');
  await fails(Exception.NODE_EXISTS, client.create('/crud'));
  const [data, stat] = await client.getData('/crud');
  assert.strictEqual(data.toString(), 'one');
  assert.strictEqual(stat.version, 0);
  assert.strictEqual((await client.setData('/crud', Buffer.from('two'), 0)).version, 1);
  await fails(Exception.BAD_VERSION, client.setData('/crud', Buffer.from(''), 0));
  for (const wanted of ['/crud/s-0000000000', '/crud/s-0000000001']) {
    assert.strictEqual(await client.create('/crud/s-', CreateMode.EPHEMERAL_SEQUENTIAL), wanted);
  }
  await fails(Exception.NOT_EMPTY, client.remove('/crud'));
  await client.remove('/crud/s-0000000000');
  await client.remove('/crud/s-0000000001');
  await client.remove('/crud');
  await fails(Exception.NO_NODE, client.getData('/crud'));
  await close(client);
}

async function existsChildren() {
  const client = await open();
  assert.strictEqual(await client.exists('/none'), null);
  await client.create('/children');
  for (const name of ['a', 'b', 'ü']) {
    await client.create('/children/' + name, Buffer.from('x'));
  }
  const [children, stat] = await client.getChildren('/children');
  assert.deepStrictEqual(children.sort(), ['a', 'b', 'ü']);
  assert.strictEqual(stat.numChildren, 3);
  assert.strictEqual((await client.exists('/children/ü')).dataLength, 1);
  await close(client);
}

async function dataWatch() {
  const [client, other, told] = [await open(), await open(), watcher()];
  await client.create('/data');
  await client.getData('/data', told.watch);
  await other.setData('/data', Buffer.from('x'), -1);
  await told.expect(Event.NODE_DATA_CHANGED, '/data');
  await client.getData('/data', told.watch);
  await other.remove('/data');
  await told.expect(Event.NODE_DELETED, '/data');
  await close(client, other);
}

async function childWatch() {
  const [client, other, told] = [await open(), await open(), watcher()];
  await client.create('/child');
  await client.getChildren('/child', told.watch);
  await other.create('/child/c');
  await told.expect(Event.NODE_CHILDREN_CHANGED, '/child');
  await close(client, other);
}

async function existsWatch() {
  const [client, other, told] = [await open(), await open(), watcher()];
  assert.strictEqual(await client.exists('/later', told.watch), null);
  await other.create('/later');
  await told.expect(Event.NODE_CREATED, '/later');
  await close(client, other);
}

function commit(transaction) {
  return promisify(transaction.commit.bind(transaction))();
}

async function multi() {
  const client = await open();
  await client.create('/gone');
  const results = await commit(client.zk.transaction()
    .create('/multi', Buffer.from('m'))
    .setData('/multi', Buffer.from('n'), 0)
    .check('/multi', 1)
    .remove('/gone', 0));
  assert.strictEqual(results.length, 4);
  assert.strictEqual(await client.exists('/gone'), null);
  assert.strictEqual((await client.exists('/multi')).version, 1);
  await fails(Exception.BAD_VERSION, commit(client.zk.transaction().create('/undone').check('/multi', 7)));
  assert.strictEqual(await client.exists('/undone'), null);
  await close(client);
}

async function acl() {
  const [client, other] = [await open(), await open()];
  client.zk.addAuthInfo('digest', Buffer.from('user:secret'));
  await client.create('/acl', Buffer.from('mine'), ACL.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
  const [acls] = await client.getACL('/acl');
  assert.strictEqual(acls[0].id.scheme, 'digest');
  await fails(Exception.NO_AUTH, other.getData('/acl'));
  other.zk.addAuthInfo('digest', Buffer.from('user:wrong'));
  await fails(Exception.NO_AUTH, other.getData('/acl'));
  other.zk.addAuthInfo('digest', Buffer.from('user:secret'));
  assert.strictEqual((await other.getData('/acl'))[0].toString(), 'mine');
  const readable = [new ACL(Permission.READ, Id.ANYONE_ID_UNSAFE)];
  assert.strictEqual((await client.setACL('/acl', readable, 0)).aversion, 1);
  await fails(Exception.NO_AUTH, client.setData('/acl', Buffer.from('')));
  await close(client, other);
}

/** Asks again as long as the connection is lost. */
async function connected(call) {
  const deadline = Date.now() + 60000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!error.getCode || error.getCode() !== Exception.CONNECTION_LOSS || Date.now() > deadline) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Session and ephemeral znode are there after what happens to the servers. */
async function survive(event) {
  const client = await open();
  const owner = session(client);
  const path = '/' + event;
  await client.create(path, Buffer.from('here'), CreateMode.EPHEMERAL);
  console.log('please ' + event);
  assert.strictEqual((await lines.next()).value, 'done');
  const stat = await connected(() => client.exists(path));
  assert.strictEqual(stat.ephemeralOwner.toString('hex'), owner);
  assert.strictEqual(session(client), owner);
  const changed = await connected(() => client.setData(path, Buffer.from('there'), 0));
  assert.strictEqual(changed.version, 1);
  await close(client);
  const other = await open();
  // It has no sync; a write of the same session brings a follower up to date.
  await other.create(path + '-after');
  assert.strictEqual(await other.exists(path), null);
  await close(other);
}

const steps = {
  connect,
  crud,
  exists_children: existsChildren,
  data_watch: dataWatch,
  child_watch: childWatch,
  exists_watch: existsWatch,
  multi,
  acl,
  restart: () => survive('restart'),
  leader_change: () => survive('leader_change'),
};

async function main() {
  let failed = 0;
  for (const name of names) {
    try {
      await steps[name]();
      console.log('ok ' + name);
    } catch (error) {
      failed += 1;
      console.error(error);
      console.log('FAILED ' + name + ': ' + String(error).replaceAll('\n', ' '));
    }
  }
  process.exit(failed === 0 ? 0 : 1);
}

main();
