import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import org.apache.hadoop.ha.ActiveStandbyElector;
import org.apache.hadoop.ha.ActiveStandbyElector.ActiveStandbyElectorCallback;
import org.apache.zookeeper.ZooDefs;

/**
 * One of those who want to be active, by Hadoop's ActiveStandbyElector. Arguments: the servers, the
 * session's timeout in milliseconds, the parent znode, and its own name, which is its data. It prints
 * what it becomes ({@code ACTIVE}, {@code STANDBY}, {@code NEUTRAL}), {@code FENCES name} when it has to
 * make sure that another is active no more, and {@code FATAL} with a reason. It reads {@code join},
 * {@code quit} (which leaves nothing to fence behind) and {@code exit}.
 */
final class ElectorMember {
    private ElectorMember() {
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static final class Told implements ActiveStandbyElectorCallback {
        @Override
        public void becomeActive() {
            say("ACTIVE");
        }

        @Override
        public void becomeStandby() {
            say("STANDBY");
        }

        @Override
        public void enterNeutralMode() {
            say("NEUTRAL");
        }

        @Override
        public void notifyFatalError(String message) {
            say("FATAL " + message);
        }

        @Override
        public void fenceOldActive(byte[] data) {
            say("FENCES " + new String(data, StandardCharsets.UTF_8));
        }
    }

    public static void main(String[] arguments) throws Exception {
        byte[] name = arguments[3].getBytes(StandardCharsets.UTF_8);
        ActiveStandbyElector elector = new ActiveStandbyElector(arguments[0], Integer.parseInt(arguments[1]),
            arguments[2], ZooDefs.Ids.OPEN_ACL_UNSAFE, Collections.emptyList(), new Told(), 10,
            null);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null && !line.equals("exit"); line = lines.readLine()) {
            if (line.equals("join")) {
                elector.ensureParentZNode();
                elector.joinElection(name);
            } else if (line.equals("quit")) {
                elector.quitElection(false);
            }
        }
        System.exit(0);
    }
}
