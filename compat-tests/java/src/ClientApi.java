import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Transaction;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** The Java client's API against a real server; extended types must be enabled there. */
final class ClientApi {
    private ClientApi() {
    }

    public static void main(String[] arguments) throws Exception {
        Steps.run(ClientApi.class, arguments);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(UTF_8);
    }

    private static String make(ZooKeeper zk, String path, String data, CreateMode mode) throws Exception {
        return zk.create(path, bytes(data), Ids.OPEN_ACL_UNSAFE, mode);
    }

    static void stepBasics(ZooKeeper zk) throws Exception {
        Stat made = new Stat();
        Steps.same(zk.create("/b", bytes("one"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, made), "/b", "path");
        Steps.same(made.getDataLength(), 3, "length");
        Stat read = new Stat();
        Steps.same(new String(zk.getData("/b", false, read), UTF_8), "one", "data");
        Steps.same(read, made, "stat of create2 and of getData");
        Stat set = zk.setData("/b", bytes("two"), 0);
        Steps.same(set.getVersion(), 1, "version");
        Steps.fails(Code.BADVERSION, () -> zk.setData("/b", bytes("x"), 0));
        Steps.fails(Code.NODEEXISTS, () -> make(zk, "/b", "", CreateMode.PERSISTENT));
        Steps.fails(Code.NONODE, () -> make(zk, "/no/parent", "", CreateMode.PERSISTENT));
        Steps.fails(Code.NONODE, () -> zk.getData("/none", false, null));
        Steps.check(zk.exists("/none", false) == null, "exists");
        zk.create("/b/null", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Steps.check(zk.getData("/b/null", false, null) == null, "null data");
        make(zk, "/b/empty", "", CreateMode.PERSISTENT);
        Steps.same(zk.getData("/b/empty", false, null).length, 0, "empty data");
        Stat parent = new Stat();
        Steps.same(new HashSet<>(zk.getChildren("/b", false, parent)), new HashSet<>(Arrays.asList("null", "empty")), "children");
        Steps.same(parent.getNumChildren(), 2, "numChildren");
        Steps.same(parent.getCversion(), 2, "cversion");
        Steps.same(zk.getAllChildrenNumber("/b"), 2, "descendants");
        Steps.fails(Code.NOTEMPTY, () -> {
            zk.delete("/b", -1);
            return null;
        });
        Steps.check(ZKUtil.deleteRecursive(zk, "/b", 100), "delete recursively");
        Steps.check(zk.exists("/b", false) == null, "deleted");
    }

    static void stepKindsOfNodes(ZooKeeper zk) throws Exception {
        make(zk, "/k", "", CreateMode.PERSISTENT);
        Steps.same(make(zk, "/k/s", "", CreateMode.PERSISTENT_SEQUENTIAL), "/k/s0000000000", "sequential");
        Steps.same(make(zk, "/k/e", "", CreateMode.EPHEMERAL), "/k/e", "ephemeral");
        String both = make(zk, "/k/es", "", CreateMode.EPHEMERAL_SEQUENTIAL);
        Steps.same(both, "/k/es0000000002", "both");
        Steps.same(zk.exists("/k/e", false).getEphemeralOwner(), zk.getSessionId(), "owner");
        Steps.same(new HashSet<>(zk.getEphemerals()), new HashSet<>(Arrays.asList("/k/e", both)), "ephemerals");
        Steps.same(zk.getEphemerals("/k/es"), Collections.singletonList(both), "ephemerals by prefix");
        Steps.fails(Code.NOCHILDRENFOREPHEMERALS, () -> make(zk, "/k/e/child", "", CreateMode.PERSISTENT));
        make(zk, "/k/container", "", CreateMode.CONTAINER);
        make(zk, "/k/container/child", "", CreateMode.PERSISTENT);
        Steps.same(zk.exists("/k/container", false).getEphemeralOwner(), 0L, "owner of a container");
        Stat ttl = new Stat();
        Steps.same(zk.create("/k/ttl", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, ttl, 3600000), "/k/ttl", "ttl");
        Steps.same(ttl.getEphemeralOwner(), 0L, "owner of a ttl node");
        Steps.same(zk.create("/k/t", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, ttl, 3600000), "/k/t0000000005", "sequential ttl");
        ZKUtil.deleteRecursive(zk, "/k", 100);
    }

    static void stepEphemeralsGoWithTheirSession(ZooKeeper zk) throws Exception {
        ZooKeeper other = Steps.connect();
        make(other, "/gone", "", CreateMode.EPHEMERAL);
        Steps.Events events = new Steps.Events();
        zk.exists("/gone", events);
        zk.getChildren("/", events);
        other.close();
        events.expect(EventType.NodeDeleted, "/gone");
        events.expect(EventType.NodeChildrenChanged, "/");
        events.expectNone();
    }

    static void stepAsync(ZooKeeper zk) throws Exception {
        int count = 500;
        CountDownLatch made = new CountDownLatch(count);
        AtomicInteger wrong = new AtomicInteger();
        List<Integer> order = Collections.synchronizedList(new ArrayList<>());
        make(zk, "/a", "", CreateMode.PERSISTENT);
        for (int index = 0; index < count; index++) {
            AsyncCallback.StringCallback callback = (rc, path, context, name) -> {
                if (rc != Code.OK.intValue() || !path.equals(name)) {
                    wrong.incrementAndGet();
                }
                order.add((Integer) context);
                made.countDown();
            };
            zk.create("/a/" + index, bytes("" + index), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, callback, index);
        }
        CompletableFuture<List<String>> children = new CompletableFuture<>();
        zk.getChildren("/a", false, (int rc, String path, Object context, List<String> names) -> children.complete(names), null);
        Steps.check(made.await(30, TimeUnit.SECONDS), "callbacks");
        Steps.same(wrong.get(), 0, "failures");
        for (int index = 0; index < count; index++) {
            Steps.same(order.get(index), index, "order of callbacks");
        }
        Steps.same(children.get(10, TimeUnit.SECONDS).size(), count, "a read sees the writes before it");
        CompletableFuture<Integer> failed = new CompletableFuture<>();
        zk.getData("/none", false, (rc, path, context, data, stat) -> failed.complete(rc), null);
        Steps.same(failed.get(10, TimeUnit.SECONDS), Code.NONODE.intValue(), "error");
        CompletableFuture<Integer> synced = new CompletableFuture<>();
        zk.sync("/a", (rc, path, context) -> synced.complete(rc), null);
        Steps.same(synced.get(10, TimeUnit.SECONDS), 0, "sync");
        CompletableFuture<Stat> set = new CompletableFuture<>();
        zk.setData("/a", bytes("x"), 0, (rc, path, context, stat) -> set.complete(stat), null);
        Steps.same(set.get(10, TimeUnit.SECONDS).getVersion(), 1, "setData");
        CompletableFuture<Integer> total = new CompletableFuture<>();
        zk.getAllChildrenNumber("/a", (rc, path, context, number) -> total.complete(number), null);
        Steps.same(total.get(10, TimeUnit.SECONDS), count, "descendants");
        ZKUtil.deleteRecursive(zk, "/a", 100);
    }

    static void stepMulti(ZooKeeper zk) throws Exception {
        List<OpResult> results = zk.multi(Arrays.asList(
            Op.create("/m", bytes("m"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.create("/m/s", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
            Op.create("/m/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
            Op.create("/m/t", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 3600000),
            Op.setData("/m", bytes("n"), 0),
            Op.check("/m", 1),
            Op.delete("/m/s0000000000", -1)));
        Steps.same(results.size(), 7, "results");
        Steps.same(((OpResult.CreateResult) results.get(1)).getPath(), "/m/s0000000000", "path");
        Steps.same(((OpResult.SetDataResult) results.get(4)).getStat().getVersion(), 1, "version");
        Stat stat = zk.exists("/m", false);
        Steps.same(stat.getPzxid(), stat.getMzxid(), "one zxid for all");
        Steps.same(stat.getNumChildren(), 2, "children");

        try {
            zk.multi(Arrays.asList(
                Op.create("/m/never", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.check("/m", 99),
                Op.delete("/m", -1)));
            throw new AssertionError("a multi that fails did not");
        } catch (KeeperException error) {
            Steps.same(error.code(), Code.BADVERSION, "error");
            int[] codes = {0, Code.BADVERSION.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()};
            for (int index = 0; index < codes.length; index++) {
                Steps.same(((OpResult.ErrorResult) error.getResults().get(index)).getErr(), codes[index], "result " + index);
            }
        }
        Steps.check(zk.exists("/m/never", false) == null, "all or nothing");
        Transaction transaction = zk.transaction();
        transaction.create("/m/tr", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT).setData("/m/tr", bytes("x"), 0);
        transaction.commit();
        Steps.same(zk.exists("/m/tr", false).getVersion(), 1, "transaction");

        List<OpResult> read = zk.multi(Arrays.asList(Op.getData("/m"), Op.getChildren("/m"), Op.getData("/none")));
        Steps.same(new String(((OpResult.GetDataResult) read.get(0)).getData(), UTF_8), "n", "multi read");
        Steps.same(((OpResult.GetChildrenResult) read.get(1)).getChildren().size(), 3, "multi read");
        Steps.same(((OpResult.ErrorResult) read.get(2)).getErr(), Code.NONODE.intValue(), "multi read");
        ZKUtil.deleteRecursive(zk, "/m", 100);
    }

    static void stepWatches(ZooKeeper zk) throws Exception {
        ZooKeeper other = Steps.connect();
        Steps.Events events = new Steps.Events();
        zk.exists("/w", events);
        make(other, "/w", "", CreateMode.PERSISTENT);
        events.expect(EventType.NodeCreated, "/w");
        zk.getData("/w", events, null);
        zk.getChildren("/w", events);
        other.setData("/w", bytes("x"), -1);
        events.expect(EventType.NodeDataChanged, "/w");
        other.setData("/w", bytes("y"), -1);
        make(other, "/w/c", "", CreateMode.PERSISTENT);
        events.expect(EventType.NodeChildrenChanged, "/w");
        zk.getData("/w/c", events, null);
        other.delete("/w/c", -1);
        events.expect(EventType.NodeDeleted, "/w/c");
        events.expectNone();
        zk.getData("/w", events, null);
        zk.removeWatches("/w", events, Watcher.WatcherType.Data, false);
        events.expect(EventType.DataWatchRemoved, "/w");
        other.setData("/w", bytes("z"), -1);
        zk.sync("/w");
        events.expectNone();
        Steps.fails(Code.NOWATCHER, () -> {
            zk.removeWatches("/w", events, Watcher.WatcherType.Any, false);
            return null;
        });
        other.delete("/w", -1);
        other.close();
    }

    static void stepPersistentWatches(ZooKeeper zk) throws Exception {
        ZooKeeper other = Steps.connect();
        Steps.Events plain = new Steps.Events();
        Steps.Events recursive = new Steps.Events();
        zk.addWatch("/pw", plain, AddWatchMode.PERSISTENT);
        zk.addWatch("/pw", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        make(other, "/pw", "", CreateMode.PERSISTENT);
        make(other, "/pw/a", "", CreateMode.PERSISTENT);
        make(other, "/pw/a/b", "", CreateMode.PERSISTENT);
        other.setData("/pw/a/b", bytes("x"), -1);
        other.delete("/pw/a/b", -1);
        other.setData("/pw", bytes("x"), -1);
        plain.expect(EventType.NodeCreated, "/pw");
        plain.expect(EventType.NodeChildrenChanged, "/pw");
        plain.expect(EventType.NodeDataChanged, "/pw");
        plain.expectNone();
        recursive.expect(EventType.NodeCreated, "/pw");
        recursive.expect(EventType.NodeCreated, "/pw/a");
        recursive.expect(EventType.NodeCreated, "/pw/a/b");
        recursive.expect(EventType.NodeDataChanged, "/pw/a/b");
        recursive.expect(EventType.NodeDeleted, "/pw/a/b");
        recursive.expect(EventType.NodeDataChanged, "/pw");
        recursive.expectNone();
        zk.removeWatches("/pw", plain, Watcher.WatcherType.Persistent, false);
        plain.expect(EventType.PersistentWatchRemoved, "/pw");
        make(other, "/pw/c", "", CreateMode.PERSISTENT);
        recursive.expect(EventType.NodeCreated, "/pw/c");
        plain.expectNone();
        zk.removeWatches("/pw", recursive, Watcher.WatcherType.PersistentRecursive, false);
        ZKUtil.deleteRecursive(other, "/pw", 100);
        other.close();
    }

    static void stepWatchesAfterAReconnect(ZooKeeper zk) throws Exception {
        Steps.Events data = new Steps.Events();
        Steps.Events children = new Steps.Events();
        Steps.Events exists = new Steps.Events();
        Steps.Events recursive = new Steps.Events();
        ZooKeeper watching = Steps.connect();
        make(zk, "/rc", "", CreateMode.PERSISTENT);
        watching.getData("/rc", data, null);
        watching.getChildren("/rc", children);
        watching.exists("/rc-later", exists);
        watching.addWatch("/rc", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        // A second connection takes the session away; the client comes back and sets its watches.
        ZooKeeper thief = Steps.connect(watching.getSessionId(), watching.getSessionPasswd());
        Steps.same(thief.getSessionId(), watching.getSessionId(), "session");
        byte[] request = thief.getSessionPasswd();
        Steps.check(request.length == 16, "password");
        waitForTheSession(watching, thief);
        zk.setData("/rc", bytes("x"), -1);
        make(zk, "/rc/child", "", CreateMode.PERSISTENT);
        make(zk, "/rc-later", "", CreateMode.PERSISTENT);
        skipStates(data, EventType.NodeDataChanged, "/rc");
        skipStates(children, EventType.NodeChildrenChanged, "/rc");
        skipStates(exists, EventType.NodeCreated, "/rc-later");
        skipStates(recursive, EventType.NodeDataChanged, "/rc");
        skipStates(recursive, EventType.NodeCreated, "/rc/child");
        watching.close();
        ZKUtil.deleteRecursive(zk, "/rc", 100);
        zk.delete("/rc-later", -1);
    }

    /** Ends the thief's client without ending the session, and waits for the owner to be back. */
    private static void waitForTheSession(ZooKeeper owner, ZooKeeper thief) throws Exception {
        java.lang.reflect.Field field = ZooKeeper.class.getDeclaredField("cnxn");
        field.setAccessible(true);
        Object connection = field.get(thief);
        java.lang.reflect.Method disconnect = connection.getClass().getDeclaredMethod("disconnect");
        disconnect.setAccessible(true);
        disconnect.invoke(connection);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (true) {
            try {
                owner.exists("/rc", false);
                return;
            } catch (KeeperException.ConnectionLossException error) {
                Steps.check(System.nanoTime() < deadline, "the client does not come back");
                Thread.sleep(20);
            }
        }
    }

    private static void skipStates(Steps.Events events, EventType type, String path) throws Exception {
        while (true) {
            org.apache.zookeeper.WatchedEvent event = events.queue.poll(15, TimeUnit.SECONDS);
            Steps.check(event != null, "no event, expected " + type + " " + path);
            if (event.getType() != EventType.None) {
                Steps.check(event.getType() == type && path.equals(event.getPath()), event + " instead of " + type + " " + path);
                return;
            }
        }
    }

    static void stepAcls(ZooKeeper zk) throws Exception {
        ZooKeeper owner = Steps.connect();
        owner.addAuthInfo("digest", bytes("user:password"));
        owner.create("/acl", bytes("secret"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Steps.fails(Code.NOAUTH, () -> zk.getData("/acl", false, null));
        Steps.fails(Code.NOAUTH, () -> zk.exists("/acl", false));
        Steps.fails(Code.NOAUTH, () -> zk.getACL("/acl", null));
        Stat stat = new Stat();
        List<ACL> acl = owner.getACL("/acl", stat);
        Steps.same(acl.get(0).getId().getScheme(), "digest", "scheme");
        Steps.check(acl.get(0).getId().getId().startsWith("user:"), "id");
        List<ACL> shared = new ArrayList<>(acl);
        shared.add(new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE));
        Steps.same(owner.setACL("/acl", shared, 0).getAversion(), 1, "aversion");
        Steps.same(new String(zk.getData("/acl", false, null), UTF_8), "secret", "read by all");
        Steps.same(zk.getACL("/acl", null).get(0).getId().getId(), "user:x", "masked");
        Steps.fails(Code.NOAUTH, () -> zk.setData("/acl", null, -1));
        Steps.fails(Code.INVALIDACL, () -> zk.create("/acl2", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        Steps.fails(Code.INVALIDACL, () -> zk.create("/acl2", null,
            Collections.singletonList(new ACL(Perms.ALL, new Id("nosuch", "x"))), CreateMode.PERSISTENT));
        List<ClientInfo> who = owner.whoAmI();
        Steps.same(who.size(), 2, "identities");
        Steps.check(who.contains(new ClientInfo("digest", "user")), "whoAmI: " + who);
        ZooKeeper root = Steps.connect();
        root.addAuthInfo("digest", bytes("super:secret"));
        root.setData("/acl", bytes("by super"), -1);
        root.delete("/acl", -1);
        Steps.fails(Code.BADARGUMENTS, () -> {
            root.delete("/zookeeper", -1);
            return null;
        });
        root.close();
        owner.close();
    }

    static void stepAuthFailure(ZooKeeper zk) throws Exception {
        CountDownLatch failed = new CountDownLatch(1);
        ZooKeeper refused = new ZooKeeper(Steps.hosts, 10000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.AuthFailed) {
                failed.countDown();
            }
        });
        refused.addAuthInfo("nosuch", bytes("x"));
        Steps.check(failed.await(15, TimeUnit.SECONDS), "no AuthFailed");
        Steps.fails(Code.AUTHFAILED, () -> refused.exists("/", false));
        refused.close();
    }

    static void stepReattach(ZooKeeper zk) throws Exception {
        ZooKeeper first = Steps.connect();
        make(first, "/mine", "", CreateMode.EPHEMERAL);
        long session = first.getSessionId();
        ZooKeeper second = Steps.connect(session, first.getSessionPasswd());
        Steps.same(second.getSessionId(), session, "session");
        Steps.same(second.exists("/mine", false).getEphemeralOwner(), session, "owner");
        second.close();
        Steps.check(zk.exists("/mine", false) == null, "closed with the session");
        CountDownLatch expired = new CountDownLatch(1);
        ZooKeeper third = new ZooKeeper(Steps.hosts, 10000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.Expired) {
                expired.countDown();
            }
        }, session, first.getSessionPasswd());
        Steps.check(expired.await(15, TimeUnit.SECONDS), "a closed session must be refused");
        third.close();
        first.close();
    }

    static void stepChroot(ZooKeeper zk) throws Exception {
        make(zk, "/chroot", "", CreateMode.PERSISTENT);
        ZooKeeper below = new ZooKeeper(Steps.hosts + "/chroot", 10000, event -> { });
        Steps.same(make(below, "/inside", "", CreateMode.PERSISTENT), "/inside", "path");
        Steps.same(below.getChildren("/", false), Collections.singletonList("inside"), "children");
        below.close();
        ZKUtil.deleteRecursive(zk, "/chroot", 100);
    }

    static void stepBigData(ZooKeeper zk) throws Exception {
        byte[] big = new byte[1000000];
        Arrays.fill(big, (byte) 7);
        zk.create("/big", big, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Steps.check(Arrays.equals(zk.getData("/big", false, null), big), "big data");
        zk.delete("/big", -1);
    }

    static void stepConfig(ZooKeeper zk) throws Exception {
        Steps.same(zk.getConfig(false, new Stat()).length, 0, "config of a standalone server");
    }
}
