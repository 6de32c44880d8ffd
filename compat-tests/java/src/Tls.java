import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/** Connects as the system properties say, writes and reads; prints who it is there. */
public class Tls {
    public static void main(String[] arguments) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(arguments[0], 20_000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        if (!connected.await(Long.getLong("patience.ms", 20_000), TimeUnit.MILLISECONDS)) {
            System.out.println("not connected");
            System.exit(3);
        }
        byte[] data = new byte[300_000];
        data[299_999] = 7;
        String path = zk.create("/tls-", data, ZooDefs.Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL);
        byte[] read = zk.getData(path, false, new Stat());
        if (read.length != 300_000 || read[299_999] != 7) {
            throw new AssertionError("other data than was written");
        }
        zk.whoAmI().forEach(info -> System.out.println("id " + info.getAuthScheme() + " " + info.getUser()));
        if (zk.whoAmI().stream().anyMatch(info -> info.getAuthScheme().equals("x509"))) {
            String own = zk.create("/own-", null, ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT_SEQUENTIAL);
            List<ACL> acl = zk.getACL(own, new Stat());
            acl.forEach(entry -> System.out.println("acl " + entry.getId().getScheme() + " " + entry.getId().getId()));
            zk.setData(own, new byte[1], -1);
        }
        zk.delete(path, -1);
        zk.close();
        System.out.println("done");
    }
}
