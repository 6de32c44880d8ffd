import static java.nio.charset.StandardCharsets.UTF_8;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/** Leaves nodes for a reader after a restart (`write`), or finds them (`read`). */
final class Leave {
    private Leave() {
    }

    public static void main(String[] arguments) throws Exception {
        Steps.hosts = arguments[0];
        ZooKeeper zk = Steps.connect();
        for (int index = 0; index < 100; index++) {
            String path = "/left-" + index;
            byte[] data = ("data " + index).getBytes(UTF_8);
            if (arguments[1].equals("write")) {
                zk.create(path, data, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            } else {
                Steps.same(new String(zk.getData(path, false, null), UTF_8), "data " + index, path);
            }
        }
        zk.close();
        System.exit(0);
    }
}
