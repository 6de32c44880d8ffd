import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;

/**
 * Connects as whoever the JAAS section Client says, and prints what comes of it: the states, then the
 * outcome of each operation.
 *
 * Arguments: the connect string, the path of a node, the user that is to own it if it is not there.
 */
public class Sasl {
    interface Operation {
        Object run() throws KeeperException, InterruptedException;
    }

    static String path;

    public static void main(String[] arguments) throws Exception {
        path = arguments[1];
        LinkedBlockingQueue<KeeperState> states = new LinkedBlockingQueue<>();
        ZooKeeper client = new ZooKeeper(arguments[0], 20000, event -> states.add(event.getState()));
        List<KeeperState> seen = new ArrayList<>();
        while (true) {
            KeeperState state = states.poll(30, TimeUnit.SECONDS);
            seen.add(state);
            if (state == null || state == KeeperState.SaslAuthenticated
                    || state == KeeperState.AuthFailed || state == KeeperState.Closed) {
                break;
            }
            if (state == KeeperState.Disconnected) {
                break;
            }
        }
        System.out.println("states: " + seen);
        // The client looks for null in it, which List.of does not stand.
        List<ACL> acl = Collections.singletonList(new ACL(31, new Id("sasl", arguments[2])));
        print("create", () -> client.create(path, "data".getBytes(), acl, CreateMode.PERSISTENT));
        print("get", () -> new String(client.getData(path, false, null)));
        print("acl", () -> client.getACL(path, null));
        print("set", () -> client.setData(path, "data".getBytes(), -1) != null);
        print("who", () -> {
            List<String> who = new ArrayList<>();
            List<ClientInfo> infos = client.whoAmI();
            if (infos == null) {
                return "nobody";
            }
            for (ClientInfo info : infos) {
                who.add(info.getAuthScheme() + "=" + info.getUser());
            }
            who.sort(null);
            return who;
        });
        System.exit(0);
    }

    static void print(String name, Operation operation) throws InterruptedException {
        String outcome;
        try {
            outcome = String.valueOf(operation.run()).strip().replace("\n", " ");
        } catch (KeeperException error) {
            outcome = error.code().toString();
        }
        System.out.println(name + ": " + outcome);
    }
}
