import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;

/** The steps of the matrix with Curator, 2.13 and later. */
public final class WithCurator {
    private static String hosts;

    private WithCurator() {
    }

    public static void main(String[] arguments) {
        hosts = arguments[0];
        Map<String, Stage.Step> steps = new HashMap<>();
        steps.put("connect", WithCurator::connect);
        steps.put("crud", WithCurator::crud);
        steps.put("exists_children", WithCurator::existsChildren);
        steps.put("data_watch", WithCurator::dataWatch);
        steps.put("child_watch", WithCurator::childWatch);
        steps.put("exists_watch", WithCurator::existsWatch);
        steps.put("multi", WithCurator::multi);
        steps.put("acl", WithCurator::acl);
        steps.put("restart", () -> survive("restart"));
        steps.put("leader_change", () -> survive("leader_change"));
        Stage.run(steps, arguments);
    }

    private static CuratorFramework open() throws Exception {
        return started(builder());
    }

    private static CuratorFrameworkFactory.Builder builder() {
        return CuratorFrameworkFactory.builder()
            .connectString(hosts)
            .sessionTimeoutMs(Stage.TIMEOUT)
            .connectionTimeoutMs(Stage.TIMEOUT)
            .retryPolicy(new RetryNTimes(600, 100));
    }

    private static CuratorFramework started(CuratorFrameworkFactory.Builder builder) throws Exception {
        CuratorFramework curator = builder.build();
        curator.start();
        Stage.check(curator.blockUntilConnected(30, TimeUnit.SECONDS), "connected");
        return curator;
    }

    /** Connects, and takes a lock and gives it back, as most who use Curator do. */
    private static void connect() throws Exception {
        CuratorFramework curator = open();
        Stage.check(curator.getZookeeperClient().getZooKeeper().getSessionId() != 0, "a session");
        InterProcessMutex mutex = new InterProcessMutex(curator, "/lock");
        Stage.check(mutex.acquire(15, TimeUnit.SECONDS), "locked");
        mutex.release();
        curator.close();
    }

    private static void crud() throws Exception {
        CuratorFramework curator = open();
        Stage.same(curator.create().creatingParentsIfNeeded().forPath("/crud/deep/er", "one".getBytes()), "/crud/deep/er");
        Stage.fails(Code.NODEEXISTS, () -> curator.create().forPath("/crud"));
        Stat stat = new Stat();
        Stage.same(new String(curator.getData().storingStatIn(stat).forPath("/crud/deep/er")), "one");
        Stage.same(stat.getVersion(), 0);
        Stage.same(curator.setData().withVersion(0).forPath("/crud/deep/er", "two".getBytes()).getVersion(), 1);
        Stage.fails(Code.BADVERSION, () -> curator.setData().withVersion(0).forPath("/crud/deep/er", new byte[0]));
        Stage.check(curator.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
            .forPath("/crud/s-").endsWith("s-0000000001"), "the second child");
        Stage.fails(Code.NOTEMPTY, () -> curator.delete().forPath("/crud"));
        curator.delete().guaranteed().deletingChildrenIfNeeded().forPath("/crud");
        Stage.fails(Code.NONODE, () -> curator.getData().forPath("/crud"));
        curator.close();
    }

    private static void existsChildren() throws Exception {
        CuratorFramework curator = open();
        Stage.check(curator.checkExists().forPath("/none") == null, "absent");
        for (String name : new String[] {"a", "b", "ü"}) {
            curator.create().creatingParentsIfNeeded().forPath("/children/" + name, name.getBytes());
        }
        Stage.same(new TreeSet<>(curator.getChildren().forPath("/children")), new TreeSet<>(Arrays.asList("a", "b", "ü")));
        Stage.same(curator.checkExists().forPath("/children").getNumChildren(), 3);
        curator.close();
    }

    private static void dataWatch() throws Exception {
        CuratorFramework curator = open();
        CuratorFramework other = open();
        Stage.Events events = new Stage.Events();
        curator.create().forPath("/data");
        curator.getData().usingWatcher(events).forPath("/data");
        other.setData().forPath("/data", "x".getBytes());
        events.expect(EventType.NodeDataChanged, "/data");
        curator.getData().usingWatcher(events).forPath("/data");
        other.delete().forPath("/data");
        events.expect(EventType.NodeDeleted, "/data");
        curator.close();
        other.close();
    }

    private static void childWatch() throws Exception {
        CuratorFramework curator = open();
        CuratorFramework other = open();
        Stage.Events events = new Stage.Events();
        curator.create().forPath("/child");
        curator.getChildren().usingWatcher(events).forPath("/child");
        other.create().forPath("/child/c");
        events.expect(EventType.NodeChildrenChanged, "/child");
        curator.close();
        other.close();
    }

    private static void existsWatch() throws Exception {
        CuratorFramework curator = open();
        CuratorFramework other = open();
        Stage.Events events = new Stage.Events();
        Stage.check(curator.checkExists().usingWatcher(events).forPath("/later") == null, "absent");
        other.create().forPath("/later");
        events.expect(EventType.NodeCreated, "/later");
        curator.close();
        other.close();
    }

    @SuppressWarnings("deprecation") // 2.13 has no other way
    private static void multi() throws Exception {
        CuratorFramework curator = open();
        curator.create().forPath("/gone");
        Collection<CuratorTransactionResult> results = curator.inTransaction()
            .create().forPath("/multi", "m".getBytes())
            .and().setData().withVersion(0).forPath("/multi", "n".getBytes())
            .and().check().withVersion(1).forPath("/multi")
            .and().delete().forPath("/gone")
            .and().commit();
        Stage.same(results.size(), 4);
        Stage.check(curator.checkExists().forPath("/gone") == null, "deleted");
        Stage.fails(Code.BADVERSION, () -> curator.inTransaction()
            .create().forPath("/undone")
            .and().check().withVersion(7).forPath("/multi")
            .and().commit());
        Stage.check(curator.checkExists().forPath("/undone") == null, "undone");
        curator.close();
    }

    private static void acl() throws Exception {
        CuratorFramework curator = started(builder().authorization("digest", "user:secret".getBytes()));
        curator.create().withACL(Ids.CREATOR_ALL_ACL).forPath("/acl", "mine".getBytes());
        Stage.same(curator.getACL().forPath("/acl").get(0).getId().getScheme(), "digest");
        CuratorFramework wrong = started(builder().authorization("digest", "user:wrong".getBytes()));
        Stage.fails(Code.NOAUTH, () -> wrong.getData().forPath("/acl"));
        CuratorFramework right = started(builder().authorization("digest", "user:secret".getBytes()));
        Stage.same(new String(right.getData().forPath("/acl")), "mine");
        Stage.same(curator.setACL().withVersion(0).withACL(Ids.READ_ACL_UNSAFE).forPath("/acl").getAversion(), 1);
        Stage.fails(Code.NOAUTH, () -> curator.setData().forPath("/acl", new byte[0]));
        wrong.close();
        right.close();
        curator.close();
    }

    /** Session and ephemeral znode are there after what happens to the servers. */
    private static void survive(String event) throws Exception {
        CuratorFramework curator = open();
        long session = curator.getZookeeperClient().getZooKeeper().getSessionId();
        String path = "/" + event;
        curator.create().withMode(CreateMode.EPHEMERAL).forPath(path, "here".getBytes());
        Stage.please(event);
        Stage.same(curator.checkExists().forPath(path).getEphemeralOwner(), session);
        Stage.same(curator.getZookeeperClient().getZooKeeper().getSessionId(), session);
        Stage.same(curator.setData().forPath(path, "there".getBytes()).getVersion(), 1);
        curator.close();
        CuratorFramework other = open();
        other.sync().forPath("/");
        Stage.check(other.checkExists().forPath(path) == null, "gone with its session");
        other.close();
    }
}
