import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** The steps of the matrix with ZooKeeper's own client, 3.4 and later. */
public final class Plain {
    private static String hosts;

    private Plain() {
    }

    public static void main(String[] arguments) {
        hosts = arguments[0];
        Map<String, Stage.Step> steps = new HashMap<>();
        steps.put("connect", Plain::connect);
        steps.put("crud", Plain::crud);
        steps.put("exists_children", Plain::existsChildren);
        steps.put("data_watch", Plain::dataWatch);
        steps.put("child_watch", Plain::childWatch);
        steps.put("exists_watch", Plain::existsWatch);
        steps.put("multi", Plain::multi);
        steps.put("acl", Plain::acl);
        steps.put("restart", () -> survive("restart"));
        steps.put("leader_change", () -> survive("leader_change"));
        Stage.run(steps, arguments);
    }

    private static ZooKeeper open() throws Exception {
        return open(0, null);
    }

    private static ZooKeeper open(long session, byte[] password) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        org.apache.zookeeper.Watcher watcher = event -> {
            if (event.getState() == KeeperState.SyncConnected) {
                connected.countDown();
            }
        };
        ZooKeeper zk = password == null
            ? new ZooKeeper(hosts, Stage.TIMEOUT, watcher)
            : new ZooKeeper(hosts, Stage.TIMEOUT, watcher, session, password);
        Stage.check(connected.await(30, TimeUnit.SECONDS), "connected");
        return zk;
    }

    private static void create(ZooKeeper zk, String path, String data) throws Exception {
        Stage.same(zk.create(path, data.getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), path);
    }

    private static void connect() throws Exception {
        ZooKeeper zk = open();
        Stage.same(zk.getState(), ZooKeeper.States.CONNECTED);
        Stage.same(zk.getSessionTimeout(), Stage.TIMEOUT);
        ZooKeeper again = open(zk.getSessionId(), zk.getSessionPasswd());
        Stage.same(again.getSessionId(), zk.getSessionId());
        again.close();
        zk.close();
    }

    private static void crud() throws Exception {
        ZooKeeper zk = open();
        create(zk, "/crud", "one");
        Stage.fails(Code.NODEEXISTS, () -> zk.create("/crud", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        Stat stat = new Stat();
        Stage.same(new String(zk.getData("/crud", false, stat)), "one");
        Stage.same(stat.getVersion(), 0);
        Stage.same(zk.setData("/crud", "two".getBytes(), 0).getVersion(), 1);
        Stage.fails(Code.BADVERSION, () -> zk.setData("/crud", null, 0));
        for (int count = 0; count < 2; count++) {
            Stage.same(zk.create("/crud/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL),
                "/crud/s-000000000" + count);
        }
        Stage.fails(Code.NOTEMPTY, () -> delete(zk, "/crud"));
        delete(zk, "/crud/s-0000000000");
        delete(zk, "/crud/s-0000000001");
        delete(zk, "/crud");
        Stage.fails(Code.NONODE, () -> zk.getData("/crud", false, null));
        zk.close();
    }

    private static Object delete(ZooKeeper zk, String path) throws Exception {
        zk.delete(path, -1);
        return path;
    }

    private static void existsChildren() throws Exception {
        ZooKeeper zk = open();
        Stage.check(zk.exists("/none", false) == null, "absent");
        create(zk, "/children", "");
        for (String name : new String[] {"a", "b", "ü"}) {
            create(zk, "/children/" + name, "x");
        }
        Stage.same(new TreeSet<>(zk.getChildren("/children", false)), new TreeSet<>(Arrays.asList("a", "b", "ü")));
        Stage.same(zk.exists("/children", false).getNumChildren(), 3);
        Stage.same(zk.exists("/children/ü", false).getDataLength(), 1);
        zk.close();
    }

    private static void dataWatch() throws Exception {
        ZooKeeper zk = open();
        ZooKeeper other = open();
        Stage.Events events = new Stage.Events();
        create(zk, "/data", "");
        zk.getData("/data", events, null);
        other.setData("/data", "x".getBytes(), -1);
        events.expect(EventType.NodeDataChanged, "/data");
        zk.getData("/data", events, null);
        other.delete("/data", -1);
        events.expect(EventType.NodeDeleted, "/data");
        zk.close();
        other.close();
    }

    private static void childWatch() throws Exception {
        ZooKeeper zk = open();
        ZooKeeper other = open();
        Stage.Events events = new Stage.Events();
        create(zk, "/child", "");
        zk.getChildren("/child", events);
        create(other, "/child/c", "");
        events.expect(EventType.NodeChildrenChanged, "/child");
        zk.close();
        other.close();
    }

    private static void existsWatch() throws Exception {
        ZooKeeper zk = open();
        ZooKeeper other = open();
        Stage.Events events = new Stage.Events();
        Stage.check(zk.exists("/later", events) == null, "absent");
        create(other, "/later", "");
        events.expect(EventType.NodeCreated, "/later");
        zk.close();
        other.close();
    }

    private static void multi() throws Exception {
        ZooKeeper zk = open();
        create(zk, "/gone", "");
        List<OpResult> results = zk.multi(Arrays.asList(
            Op.create("/multi", "m".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.setData("/multi", "n".getBytes(), 0),
            Op.check("/multi", 1),
            Op.delete("/gone", 0)));
        Stage.same(results.size(), 4);
        Stage.same(((OpResult.CreateResult) results.get(0)).getPath(), "/multi");
        Stage.same(((OpResult.SetDataResult) results.get(1)).getStat().getVersion(), 1);
        Stage.check(zk.exists("/gone", false) == null, "deleted");
        Stage.fails(Code.BADVERSION, () -> zk.multi(Arrays.asList(
            Op.create("/undone", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.check("/multi", 7))));
        Stage.check(zk.exists("/undone", false) == null, "undone");
        zk.close();
    }

    private static void acl() throws Exception {
        ZooKeeper zk = open();
        zk.addAuthInfo("digest", "user:secret".getBytes());
        zk.create("/acl", "mine".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Stage.same(zk.getACL("/acl", new Stat()).get(0).getId().getScheme(), "digest");
        ZooKeeper other = open();
        Stage.fails(Code.NOAUTH, () -> other.getData("/acl", false, null));
        other.addAuthInfo("digest", "user:wrong".getBytes());
        Stage.fails(Code.NOAUTH, () -> other.getData("/acl", false, null));
        other.addAuthInfo("digest", "user:secret".getBytes());
        Stage.same(new String(other.getData("/acl", false, null)), "mine");
        Stage.same(zk.setACL("/acl", Ids.READ_ACL_UNSAFE, 0).getAversion(), 1);
        Stage.fails(Code.NOAUTH, () -> zk.setData("/acl", null, -1));
        other.close();
        zk.close();
    }

    /** Session and ephemeral znode are there after what happens to the servers. */
    private static void survive(String event) throws Exception {
        ZooKeeper zk = open();
        long session = zk.getSessionId();
        String path = "/" + event;
        zk.create(path, "here".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Stage.please(event);
        Stage.same(Stage.connected(() -> zk.exists(path, false)).getEphemeralOwner(), session);
        Stage.same(zk.getSessionId(), session);
        Stage.same(Stage.connected(() -> zk.setData(path, "there".getBytes(), 0)).getVersion(), 1);
        zk.close();
        ZooKeeper other = open();
        other.sync("/", (code, where, context) -> { }, null);
        Stage.check(other.exists(path, false) == null, "gone with its session");
        other.close();
    }
}
