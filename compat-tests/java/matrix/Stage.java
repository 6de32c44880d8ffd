import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;

/**
 * Does the steps that the command line names, after the connect string, and prints of each "ok NAME" or
 * "FAILED NAME: why". Where a step needs something done to the servers it prints "please WHAT" and waits
 * for a line.
 */
final class Stage {
    /** Session timeout of all clients, ms: a server may take long to come back. */
    static final int TIMEOUT = 30000;
    private static final long PATIENCE = TimeUnit.SECONDS.toNanos(60);
    private static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));

    private Stage() {
    }

    interface Step {
        void run() throws Exception;
    }

    static void run(Map<String, Step> steps, String[] arguments) {
        int failed = 0;
        for (int index = 1; index < arguments.length; index++) {
            String name = arguments[index];
            try {
                steps.get(name).run();
                System.out.println("ok " + name);
            } catch (Throwable error) {
                failed++;
                System.out.println("FAILED " + name + ": " + String.valueOf(error).replace('\n', ' '));
                error.printStackTrace();
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    static void please(String what) throws Exception {
        System.out.println("please " + what);
        check("done".equals(INPUT.readLine()), "done to " + what);
    }

    static void check(boolean truth, String what) {
        if (!truth) {
            throw new AssertionError("not " + what);
        }
    }

    static void same(Object found, Object wanted) {
        if (!wanted.equals(found)) {
            throw new AssertionError(found + " instead of " + wanted);
        }
    }

    static void fails(KeeperException.Code code, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (KeeperException error) {
            same(error.code(), code);
            return;
        }
        throw new AssertionError("no " + code);
    }

    /** Asks again as long as the connection is lost. */
    static <T> T connected(Callable<T> call) throws Exception {
        long deadline = System.nanoTime() + PATIENCE;
        while (true) {
            try {
                return call.call();
            } catch (KeeperException.ConnectionLossException error) {
                if (System.nanoTime() > deadline) {
                    throw error;
                }
                Thread.sleep(20);
            }
        }
    }

    /** A watcher that keeps what it was told of znodes. */
    static final class Events implements Watcher {
        private final BlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != Event.EventType.None) {
                queue.add(event);
            }
        }

        void expect(Event.EventType type, String path) throws InterruptedException {
            WatchedEvent event = queue.poll(15, TimeUnit.SECONDS);
            check(event != null, "an event " + type + " " + path);
            same(event.getType() + " " + event.getPath(), type + " " + path);
        }
    }
}
